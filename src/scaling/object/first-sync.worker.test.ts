/** A provider that connects after predictions have come, and found that nothing can be rented. */
import { runInDurableObject } from "cloudflare:test";
import { expect, it } from "vitest";
import { admin, call, callJson, newKey, offer, testEnv } from "../../../test/worker/edge-harness.ts";
import { SyncReplySchema } from "../../contract/provider.ts";

const VERSION = "7".repeat(64);
const LANES = ["default", "second", "third"];
const scaler = () => testEnv.SCALER.getByName("scaler");
const restart = () => runInDurableObject(scaler(), (_, state) => state.abort("a restart")).catch(() => {});

/** Lanes that the scaler has stored as told to ask rarely. */
const waitingLanes = () =>
  runInDurableObject(scaler(), (_, { storage }) => {
    const [row] = storage.sql.exec("SELECT value FROM kept WHERE name = 'putOff'").toArray();
    return (JSON.parse(String(row?.["value"])) as string[]).toSorted();
  });

const models = async () => {
  const { body } = await callJson("/admin/v1/scaling", { key: testEnv.ADMIN_KEY ?? "" });
  return body["models"] as { model: string; waiting: number }[];
};

async function opened(name: string) {
  const token = String((await admin("/provider-tokens", { providers: [name] }))["token"]);
  const price = { pricePerHourNano: 36_000_000_000, currency: "USD", billingIncrementS: 1 };
  const small = { id: "small", hardware: "cpu", devices: 1, ...price, spot: false, available: null };
  let known = {};
  return async () => {
    const body = { protocol: 1, provider: name, kind: "fake", offers: [small], machines: [], complete: true, ...known };
    const reply = SyncReplySchema.parse(await (await call("/provider/v1/sync", { key: token, body })).json());
    known = { known: reply.known };
    return reply.desired;
  };
}

it("calls every lane that asked before, though the scaler started again: none waits for its next word", async () => {
  const key = await newKey("early");
  for (const lane of LANES) {
    await offer({ owner: "local", name: `on-${lane}`, version: VERSION, lane });
    await callJson("/v1/predictions", { key, body: { version: `local/on-${lane}:${VERSION}`, input: {} } });
  }
  await expect.poll(waitingLanes).toEqual(LANES);
  await restart();

  const sync = await opened("late");
  let desired = await sync();
  while (desired.length === 0) desired = await sync();
  expect(desired).toMatchObject([{ state: "running", hardware: "cpu" }]);
  await expect
    .poll(async () => (await models()).filter(({ waiting }) => waiting === 1).map(({ model }) => model))
    .toEqual(expect.arrayContaining(LANES.map((lane) => `local/on-${lane}`)));
  expect(await waitingLanes()).toEqual([]);

  // And they tell often from then on.
  const body = { version: `local/on-third:${VERSION}`, input: {} };
  await callJson("/v1/predictions", { key, body });
  const waiting = async () => (await models()).map((one) => one.waiting).toSorted((a, b) => a - b);
  await expect.poll(waiting).toEqual([1, 1, 2]);
});
