/** The scaler beside objects that never answer. */
import { runInDurableObject } from "cloudflare:test";
import { expect, it } from "vitest";
import { testEnv } from "../../../test/worker/edge-harness.ts";
import { inAnotherLife } from "../../../test/worker/other-life.ts";
import { openSchema } from "../../object-schema.ts";
import { objectSql } from "../../shard/object-sql.ts";
import { scalerSchema } from "./rows.ts";

it("answers though its settings hang", async () => {
  const read = () => new Promise<never>(() => {});
  await inAnotherLife({ SETTINGS: { getByName: () => ({ read }) } }, async (scaler) => {
    expect((await scaler.status()).providers).toEqual([]);
  });
});

it("tells of the time of machines again where a meter never answers", async () => {
  await runInDurableObject(testEnv.SCALER.getByName("scaler"), (_, { storage }) => {
    openSchema(objectSql(storage), scalerSchema);
    const record = {
      ...{ v: 2, kind: "instance.interval", id: "scaler.1", at: 1, account: "overhead", deployment: null },
      ...{ device: "cpu", gpuUs: 5, flags: [], instance: "m", model: null, version: null, phase: "boot" },
      ...{ fromMs: 0, toMs: 1 },
    };
    const waiting = JSON.stringify({ next: 2, records: [{ n: 1, record }] });
    storage.sql.exec("INSERT OR REPLACE INTO kept VALUES ('unmetered', ?)", waiting);
  });
  let calls = 0;
  const take = () => ((calls += 1), new Promise<never>(() => {}));
  await inAnotherLife({ METER: { getByName: () => ({ take }) } }, async (scaler) => {
    await scaler.changed();
    await expect.poll(() => calls).toBeGreaterThan(1);
  });
});
