import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, it, vi } from "vitest";
import { testEnv } from "../../test/worker/edge-harness.ts";
import type { Env } from "../env.ts";
import { noteLogSetting } from "../log/current-log.ts";
import { DAY_MS, hourOf } from "./calendar.ts";
import { expectedPricing } from "./expected.ts";
import { rawPrefix } from "./raw-objects.ts";
import type { AttemptRecord, MeterRecord } from "./record.ts";
import type { UsageMeter } from "./usage-meter.ts";
import type { UsageRequest } from "./usage-query.ts";

const edge = env as Env;
/** Far less than the time until records are stored as an object. */
const SOON_MS = 30_000;
/** One time for all records: no hour begins between two of them. */
const NOW = Date.now();

function attempt(account: string, n: number, overrides: Partial<AttemptRecord> = {}): AttemptRecord {
  return {
    ...{ v: 2, kind: "attempt", id: `p${n}.1`, at: NOW, account, deployment: null, device: "cpu", gpuUs: 10 },
    ...{ flags: [], prediction: `p${n}`, attempt: 1, key: "k", model: "o/n", version: "v", queuedMs: 1, runMs: 2 },
    ...{ units: { tokens: 3 }, outcome: "succeeded", cached: false, billed: true, costNano: 5, currency: "USD" },
    price: "1",
    ...overrides,
  };
}
const batch = (source: string, from: number, records: MeterRecord[]) => ({
  source,
  records: records.map((record, index) => ({ n: from + index, record })),
});
const request = (overrides: Partial<UsageRequest> = {}): UsageRequest => ({
  ...{ from: Date.now() - DAY_MS, to: Date.now() + DAY_MS, by: "hour", group: [], where: {}, limit: 10, after: null },
  ...overrides,
});
const meterOf = (account: string) => testEnv.METER.getByName(account);
async function restart(account: string): Promise<void> {
  await runInDurableObject(meterOf(account), (_, state) => state.abort("a restart")).catch(() => {});
}
async function rawOf(account: string): Promise<string[]> {
  const { objects } = await testEnv.BLOBS.list({ prefix: rawPrefix(account) });
  const texts = await Promise.all(objects.map(async ({ key }) => (await testEnv.BLOBS.get(key))?.text() ?? ""));
  return texts
    .join("")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => (JSON.parse(line) as MeterRecord).id);
}

it("takes each record once, whatever comes again, over restarts; and stores it as an object once", async () => {
  const account = "meter-once";
  const records = [1, 2, 3].map((n) => attempt(account, n));
  await Promise.all([
    meterOf(account).take(account, batch("shard-1", 5, records)),
    meterOf(account).take(account, batch("shard-2", 9, [attempt(account, 4)])),
    meterOf(account).take(account, batch("shard-1", 5, records)),
  ]);
  await restart(account);
  await meterOf(account).take(account, batch("shard-1", 6, [...records.slice(1), attempt(account, 5)]));
  const { groups } = await meterOf(account).usage(request({ group: ["model", "key"] }));
  expect(groups).toEqual([
    {
      ...{ at: hourOf(NOW), model: "o/n", key: "k", device: null, deployment: null, phase: null },
      ...{ currency: "USD", requests: 5, billed: 5, queuedMs: 5, runMs: 10, gpuUs: 50, instanceUs: 0, costNano: 25 },
      units: { tokens: 15 },
    },
  ]);
  expect(await rawOf(account)).toEqual([]);
  await restart(account);
  await runDurableObjectAlarm(meterOf(account));
  expect((await rawOf(account)).toSorted()).toEqual(["p1.1", "p2.1", "p3.1", "p4.1", "p5.1"]);
  await runDurableObjectAlarm(meterOf(account));
  expect(await rawOf(account)).toHaveLength(5);
});

it("stores the same object again when it died before its rows went", async () => {
  const account = "meter-died";
  await meterOf(account).take(account, batch("shard-1", 1, [attempt(account, 1)]));
  const sqlOf = <T>(run: (sql: SqlStorage) => T) =>
    runInDurableObject(meterOf(account), (_, { storage }) => run(storage.sql));
  const rows = await sqlOf((sql) => sql.exec("SELECT n, month, lines FROM raw").toArray());
  await restart(account);
  await runDurableObjectAlarm(meterOf(account));
  expect(await rawOf(account)).toEqual(["p1.1"]);
  await sqlOf((sql) => {
    for (const { n, month, lines } of rows) sql.exec("INSERT INTO raw VALUES (?, ?, ?)", n, month, lines);
  });
  await meterOf(account).take(account, batch("shard-1", 2, [attempt(account, 2)]));
  await restart(account);
  await runDurableObjectAlarm(meterOf(account));
  expect(await rawOf(account)).toEqual(["p1.1", "p2.1"]);
});

it("loses no stored record where its rows are put back from a backup and get other company", async () => {
  const account = "meter-restored";
  const sqlOf = <T>(run: (sql: SqlStorage) => T) =>
    runInDurableObject(meterOf(account), (_, { storage }) => run(storage.sql));
  await meterOf(account).take(account, batch("shard-1", 1, [attempt(account, 1)]));
  const rows = await sqlOf((sql) => sql.exec("SELECT n, month, lines FROM raw").toArray());
  await meterOf(account).take(account, batch("shard-1", 2, [attempt(account, 2)]));
  await restart(account);
  await runDurableObjectAlarm(meterOf(account));
  await sqlOf((sql) => {
    for (const { n, month, lines } of rows) sql.exec("INSERT INTO raw VALUES (?, ?, ?)", n, month, lines);
    sql.exec("DELETE FROM note WHERE name = 'storing'");
  });
  await meterOf(account).take(account, batch("shard-1", 3, [attempt(account, 3)]));
  await restart(account);
  await runDurableObjectAlarm(meterOf(account));
  expect((await rawOf(account)).toSorted()).toEqual(["p1.1", "p1.1", "p2.1", "p3.1"]);
});

it("keeps what was decided first, over restarts and alarms, though nothing else is stored", async () => {
  const [a, b] = [{ accountId: "a", deployment: "a/d" } as const, { accountId: "b", deployment: "b/d" } as const];
  const decide = (wished: (typeof a | typeof b | null)[]) =>
    meterOf("meter-decides").decide("pool t session", 0, wished);
  expect(await decide([a, null])).toEqual([a, null]);
  await restart("meter-decides");
  expect(await runDurableObjectAlarm(meterOf("meter-decides"))).toBe(true);
  expect(await decide([null, b])).toEqual([a, null]);
});

it("answers an account that used nothing, and makes no tables for it", async () => {
  expect(await meterOf("meter-idle").usage(request())).toEqual({ groups: [], next: null });
  const tables = await runInDurableObject(meterOf("meter-idle"), (_, { storage }) =>
    storage.sql.exec("SELECT name FROM sqlite_master WHERE name = 'sums'").toArray(),
  );
  expect(tables).toEqual([]);
});

it("tells groups in pages, and sums by month what its days hold", async () => {
  const account = "meter-pages";
  const records = ["a", "b", "c", "d", "e"].map((model, n) => attempt(account, n, { model: `o/${model}` }));
  await meterOf(account).take(account, batch("shard-3", 1, records));
  const found: (string | null)[] = [];
  let after: UsageRequest["after"] = null;
  do {
    const page = await meterOf(account).usage(request({ by: "month", group: ["model"], limit: 2, after }));
    found.push(...page.groups.map(({ model }) => model));
    after = page.next;
  } while (after !== null);
  expect(found).toEqual(["o/a", "o/b", "o/c", "o/d", "o/e"]);
  const one = await meterOf(account).usage(request({ by: "month", where: { model: "o/c" } }));
  expect(one.groups.map(({ gpuUs, requests }) => ({ gpuUs, requests }))).toEqual([{ gpuUs: 10, requests: 1 }]);
});

it("looks again in seconds while the bucket is away, and stores all once it is back", async () => {
  const account = "meter-away";
  await meterOf(account).take(account, batch("shard-1", 1, [attempt(account, 1)]));
  await restart(account);
  await runInDurableObject(meterOf(account), async (meter, { storage }) => {
    const away = { put: () => Promise.reject(new Error("the bucket is away")) };
    Object.defineProperty(meter, "env", { value: { ...testEnv, BLOBS: away }, configurable: true });
    const before = Date.now();
    await meter.alarm?.();
    const first = (await storage.getAlarm()) ?? Infinity;
    await meter.alarm?.();
    const second = (await storage.getAlarm()) ?? Infinity;
    expect(first).toBeLessThan(before + 30_000);
    expect(second - first).toBeGreaterThan(4000);
    Object.defineProperty(meter, "env", { value: testEnv, configurable: true });
  });
  expect(await rawOf(account)).toEqual([]);
  await runDurableObjectAlarm(meterOf(account));
  expect(await rawOf(account)).toEqual(["p1.1"]);
});

it("stores within minutes what comes while its alarm looks for what is no longer kept", async () => {
  const account = "meter-swept";
  await meterOf(account).take(account, batch("shard-1", 1, [attempt(account, 1)]));
  await runInDurableObject(meterOf(account), async (instance, state) => {
    const looks = Promise.withResolvers<void>();
    const found = Promise.withResolvers<{ objects: [] }>();
    const list = () => (looks.resolve(), found.promise);
    const bucket = { put: () => Promise.resolve(null), list } as unknown as R2Bucket;
    // One that has just started stores at once what waits.
    const meter = new (instance.constructor as typeof UsageMeter)(state, { ...edge, BLOBS: bucket });
    const alarm = meter.alarm();
    await looks.promise;
    await meter.take(account, batch("shard-1", 2, [attempt(account, 2)]));
    found.resolve({ objects: [] });
    await alarm;
    expect(await state.storage.getAlarm()).toBeLessThan(Date.now() + 1_200_000);
  });
});

it("looks again in seconds where the object of all accounts never answers", async () => {
  const account = "meter-hanging-totals";
  await meterOf(account).take(account, batch("shard-1", 1, [attempt(account, 1)]));
  await runInDurableObject(meterOf(account), async (instance, state) => {
    const takeTotals = () => new Promise<never>(() => {});
    const METER = { getByName: () => ({ takeTotals }) } as unknown as Env["METER"];
    const meter = new (instance.constructor as typeof UsageMeter)(state, { ...edge, METER });
    vi.useFakeTimers();
    const alarm = meter.alarm();
    await vi.advanceTimersByTimeAsync(12_000).finally(() => vi.useRealTimers());
    await alarm;
    expect(await state.storage.getAlarm()).toBeLessThan(Date.now() + SOON_MS);
  });
});

it("looks again in seconds where its alarm came while records were being published, which then failed", async () => {
  const account = "meter-slow-log";
  noteLogSetting(edge, {
    ...{ epoch: 1, since: 1 },
    choice: {
      ...{ driver: "upstash", url: "https://kafka.test/kafka" },
      ...{ producer: { username: "edge", password: "very-secret" }, pool: null },
    },
  });
  const first = Promise.withResolvers<Response>();
  const published: string[] = [];
  const fetched = vi.spyOn(globalThis, "fetch").mockImplementation(async (_, init) => {
    if (fetched.mock.calls.length === 1) return first.promise;
    const records = JSON.parse(String(init?.body)) as { topic: string; key: string }[];
    published.push(...records.map(({ topic, key }) => `${topic} ${key}`));
    return Response.json(records.map(({ topic }, offset) => ({ topic, partition: 0, offset, timestamp: 1 })));
  });
  await runInDurableObject(meterOf(account), async (instance, state) => {
    const meter = new (instance.constructor as typeof UsageMeter)(state, { ...edge, PUBLISH_TOPICS: "usage" });
    await meter.take(account, batch("shard-1", 1, [attempt(account, 1)]));
    await expect.poll(() => fetched.mock.calls.length).toBe(1);
    const alarm = meter.alarm();
    first.reject(new Error("the log is away"));
    await alarm;
    expect(await state.storage.getAlarm()).toBeLessThan(Date.now() + SOON_MS);
    await meter.alarm();
    expect(published).toEqual(["usage p1.1"]);
  });
  vi.restoreAllMocks();
});

it("publishes again what a log never answered for", async () => {
  const account = "meter-hanging-log";
  await meterOf(account).take(account, batch("shard-1", 1, [attempt(account, 1)]));
  await runInDurableObject(meterOf(account), async (instance, state) => {
    let reads = 0;
    const first = () => ((reads += 1), new Promise<never>(() => {}));
    const DB = { prepare: () => ({ first }) } as unknown as Env["DB"];
    const settings = { ...edge, DB, PUBLISH_TOPICS: "usage" };
    const meter = new (instance.constructor as typeof UsageMeter)(state, settings);
    vi.useFakeTimers();
    // What the isolate knows of the log is old.
    vi.setSystemTime(Date.now() + SOON_MS);
    const alarms = meter.alarm().then(() => meter.alarm());
    await vi.advanceTimersByTimeAsync(100_000).finally(() => vi.useRealTimers());
    await alarms;
    expect(reads).toBe(2);
  });
});

it("tells what to expect of a run: the devices and the units of the account's own", async () => {
  const account = "meter-expected";
  const wide = { runMs: 100, gpuUs: 200_000, billed: true, units: { tokens: 10 } };
  const free = { ...wide, billed: false, units: {}, runMs: 0, gpuUs: 0, device: "none" };
  await meterOf(account).take(
    account,
    batch("s", 1, [attempt(account, 1, wide), attempt(account, 2, { ...wide, units: { tokens: 20 } })]),
  );
  await meterOf(account).take(
    account,
    batch("s", 3, [attempt(account, 3, free), attempt(account, 4, { model: "o/other" })]),
  );
  const price = {
    id: "1:*",
    currency: "USD",
    perSecond: { "*": 1000 },
    perUnit: { tokens: 7 },
    perRequest: 0,
    minimum: 0,
  };
  const model = { owner: "o", name: "n", version: "v" };
  const expected = await expectedPricing(testEnv, price, {
    accountId: account,
    lane: "none",
    priority: "normal",
    model,
  });
  expect(expected).toEqual({ price, expectedNano: 0.1 * 2 * 1000 + 15 * 7, devices: 2, basis: "runs" });
});
