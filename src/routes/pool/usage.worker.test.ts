import { beforeAll, describe, expect, it, vi } from "vitest";
import { callJson, FakePool, newKey, offer, testEnv } from "../../../test/worker/edge-harness.ts";
import type { IntervalReport, IntervalsRequest } from "../../contract/usage.ts";
import { takeIntervals, takeRents } from "../../metering/intervals.ts";
import type { IntervalRecord } from "../../metering/record.ts";
import { findAccount } from "../../registry/accounts.ts";
import { deleteVersion } from "../../registry/delete-version.ts";
import { RentRecords } from "../../scaling/object/rent-records.ts";

const VERSION = "d".repeat(64);
const ADMIN = testEnv.ADMIN_KEY ?? "";
const interval: IntervalReport = {
  ...{ instance: "acme/idler#0", model: "acme/idler", version: VERSION, device: "cpu", phase: "idle" },
  ...{ gpuUs: 60_000_000, endedMsAgo: 0, lengthMs: 60_000 },
};
const unused: IntervalReport = { ...interval, instance: "cpu", model: null, version: null, phase: "unused" };
let pool: FakePool;
let key = "";

const send = (body: Partial<IntervalsRequest>, from = pool) =>
  callJson("/pool/v1/usage", { key: from.key, body: { session: "session-usage", from: 0, intervals: [], ...body } });

/** What an account's instances had, in microseconds, by model and phase. */
async function had(account: string): Promise<unknown[]> {
  const path = `/admin/v1/usage?account=${account}&group=model,phase,deployment`;
  const { body } = await callJson(path, { key: ADMIN });
  const results = body["results"] as Record<string, unknown>[];
  // What has no model, or no deployment, stands under the empty name.
  return results.map(({ model, phase, deployment, instance_us: us }) => ({ model, phase, deployment, us }));
}

beforeAll(async () => {
  key = await newKey("idle-owner");
  pool = await FakePool.open();
  await offer({ name: "idler", version: VERSION });
});

describe("POST /pool/v1/usage", () => {
  it("charges nobody, and takes what comes again once", async () => {
    const first = await send({ intervals: [interval, unused] });
    expect([first.status, first.body]).toEqual([200, { next: 2 }]);
    expect((await send({ from: 1, intervals: [unused, { ...interval, gpuUs: 5 }] })).body).toEqual({ next: 3 });
    const idle = { model: "acme/idler", phase: "idle", deployment: "", us: 60_000_005 };
    const nobody = { model: "", phase: "unused", deployment: "", us: 60_000_000 };
    await expect.poll(() => had("overhead")).toEqual(expect.arrayContaining([idle, nobody]));
  });

  it("names no model that the pool may not run, and lets no pool take another's numbers", async () => {
    const stranger = await FakePool.open(["elsewhere"]);
    await send({ from: 100, intervals: [{ ...interval, phase: "drain", gpuUs: 7 }] }, stranger);
    await send({ from: 3, intervals: [{ ...interval, phase: "drain", gpuUs: 8 }] });
    const drains = [
      { model: "", phase: "drain", deployment: "", us: 7 },
      { model: "acme/idler", phase: "drain", deployment: "", us: 8 },
    ];
    await expect.poll(() => had("overhead")).toEqual(expect.arrayContaining(drains));
  });

  it("takes what instances of a version had that was deleted since", async () => {
    const gone = { owner: "acme", name: "gone" };
    await offer({ name: gone.name, version: VERSION });
    await testEnv.DB.prepare("UPDATE models SET visibility = 'private' WHERE owner = 'acme' AND name = 'gone'").run();
    const ownerAccountId = (await findAccount(testEnv.DB, gone.owner))?.id ?? "";
    await deleteVersion(testEnv, gone, { id: VERSION, ownerAccountId, isForced: true });
    const late = { ...interval, model: "acme/gone", gpuUs: 11 };
    const { status, body } = await send({ session: "session-gone", intervals: [late] });
    expect([status, body]).toEqual([200, { next: 1 }]);
    const nobody = { model: "", phase: "idle", deployment: "", us: 11 };
    await expect.poll(() => had("overhead")).toEqual(expect.arrayContaining([nobody]));
  });

  it("counts no more devices than the pool said that it has", async () => {
    const alone = await FakePool.open();
    expect((await send({ intervals: [{ ...unused, phase: "boot", gpuUs: 180_000_000 }] }, alone)).status).toBe(200);
    const boot = { model: "", phase: "boot", deployment: "", us: 60_001_000 };
    await expect.poll(() => had("overhead")).toEqual(expect.arrayContaining([boot]));
    const most = { ...unused, phase: "boot" as const, gpuUs: Number.MAX_SAFE_INTEGER };
    expect((await send({ from: 1, intervals: [most] }, alone)).status).toBe(200);
    const twice = { ...boot, us: 2 * 60_001_000 };
    await expect.poll(() => had("overhead")).toEqual(expect.arrayContaining([twice]));
  });

  it("counts no more time than the devices of its token's pools can have had, however often it is told", async () => {
    const many = await FakePool.open(["default"], 2);
    const day = { ...unused, phase: "drain" as const, gpuUs: 86_400_000_000, lengthMs: 86_400_000 };
    for (const session of ["session-one", "session-two"])
      expect((await send({ session, intervals: [day, day] }, many)).status).toBe(200);
    // Two devices have a day each at first, and what passes here.
    const drained = async () => {
      const lines = (await had("overhead")) as { model: string; phase: string; us: number }[];
      return lines.find(({ model, phase }) => model === "" && phase === "drain")?.us ?? 0;
    };
    await expect.poll(drained).toBeGreaterThanOrEqual(2 * 86_400_000_000);
    expect(await drained()).toBeLessThan(3 * 86_400_000_000);
  });

  it.each([
    [{ intervals: [{ ...interval, lengthMs: 2 ** 40 }] }, "lengthMs"],
    [{ intervals: [] }, "intervals"],
    [{ intervals: [interval], from: Number.MAX_SAFE_INTEGER }, "from"],
    [{ intervals: [{ ...interval, phase: "busy" as "idle" }] }, "phase"],
  ])("refuses what can't be: %#", async (body, why) => {
    const { status, body: said } = await send(body);
    expect([status, said["code"], JSON.stringify(said)]).toEqual([422, "invalid_input", expect.stringContaining(why)]);
  });
});

it("asks the registry once, however many versions a pool names", async () => {
  const prepare = vi.spyOn(testEnv.DB, "prepare");
  const named = Array.from({ length: 60 }, (_, n) => ({ ...interval, phase: "setup" as const, model: `acme/no-${n}` }));
  const intervals = [{ ...interval, phase: "setup" as const, gpuUs: 9 }, ...named];
  await takeIntervals(
    testEnv,
    { session: "session-many", from: 0, intervals },
    { poolTokenId: "t", lanes: ["default"] },
    Date.now(),
  );
  expect(prepare).toHaveBeenCalledTimes(1);
  prepare.mockRestore();
  const setUp = { model: "acme/idler", phase: "setup", deployment: "", us: 9 };
  await expect.poll(() => had("overhead")).toEqual(expect.arrayContaining([setUp]));
});

it("charges who deployed the version first, where the operator wants it so", async () => {
  const deployment = {
    ...{ name: "idle", model: "acme/idler", version: VERSION, hardware: "cpu", min_instances: 1, max_instances: 1 },
  };
  expect((await callJson("/v1/deployments", { key, body: deployment })).status).toBe(201);
  const env = { ...testEnv, CHARGE_INSTANCES: "owner" };
  const request = { session: "session-owner", from: 0, intervals: [interval] };
  await takeIntervals(env, request, { poolTokenId: "t", lanes: ["default"] }, Date.now());
  const accounts = (await callJson("/admin/v1/accounts?limit=1000", { key: ADMIN })).body["results"];
  const id = (accounts as { id: string; name: string }[]).find(({ name }) => name === "idle-owner")?.id ?? "";
  const idle = { model: "acme/idler", phase: "idle", deployment: "idle-owner/idle", us: 60_000_000 };
  await expect.poll(() => had(id)).toEqual([idle]);

  const cause = `acme/idler ${VERSION}`;
  const boot: IntervalRecord = {
    ...{ v: 2, kind: "instance.interval", id: "scaler.1", at: Date.now(), account: "overhead", deployment: null },
    ...{ device: "cpu", gpuUs: 5, flags: [], instance: "m1", model: null, version: null, phase: "boot" },
    ...{ fromMs: 0, toMs: 1 },
  };
  const kept = {
    read: () => ({ next: 3, records: [1, 2].map((n) => ({ n, record: boot, ...(n === 1 ? { cause } : {}) })) }),
    write() {},
  };
  const rents = new RentRecords(kept, 0);
  await takeRents(env, "scaler of a test", rents);
  expect(rents.waiting).toEqual([]);
  const booted = { model: "", phase: "boot", deployment: "idle-owner/idle", us: 5 };
  await expect.poll(() => had(id)).toEqual(expect.arrayContaining([booted]));
});

it("counts what comes again where it counted first, though its deployment was made or removed in between", async () => {
  await offer({ name: "twice", version: VERSION });
  const owner = await newKey("twice-owner");
  const id = (await findAccount(testEnv.DB, "twice-owner"))?.id ?? "";
  const report = { ...interval, model: "acme/twice", instance: "acme/twice#0" };
  const told = (from: number, gpuUs: number) =>
    takeIntervals(
      { ...testEnv, CHARGE_INSTANCES: "owner" },
      { session: "session-twice", from, intervals: [{ ...report, gpuUs }] },
      { poolTokenId: "t", lanes: ["default"] },
      Date.now(),
    );
  const hadBy = async (account: string) =>
    (await had(account)).filter((line) => (line as { model: string }).model === "acme/twice");
  await told(0, 3);
  const body = { name: "twice", model: "acme/twice", version: VERSION, hardware: "cpu" };
  const bounds = { min_instances: 0, max_instances: 1 };
  expect((await callJson("/v1/deployments", { key: owner, body: { ...body, ...bounds } })).status).toBe(201);
  await told(0, 3);
  await told(1, 5);
  await testEnv.DB.prepare("DELETE FROM deployments WHERE account_id = ?").bind(id).run();
  await told(1, 5);
  const idle = { model: "acme/twice", phase: "idle" };
  expect(await hadBy("overhead")).toEqual([{ ...idle, deployment: "", us: 3 }]);
  expect(await hadBy(id)).toEqual([{ ...idle, deployment: "twice-owner/twice", us: 5 }]);
});
