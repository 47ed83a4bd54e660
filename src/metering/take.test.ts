import fc from "fast-check";
import { expect, it } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { openSchema } from "../object-schema.ts";
import { DAY_MS, HOUR_MS, keptFrom } from "./calendar.ts";
import { createMeterRows, DEVICE_TIME, MAX_GROUPS, MAX_SESSIONS, meterSchema } from "./meter-rows.ts";
import type { AttemptRecord, IntervalRecord, MeterRecord } from "./record.ts";
import { OTHERS } from "./sums.ts";
import { takeBatches } from "./take.ts";
import { queryUsage } from "./usage-query.ts";
import type { UsageRequest } from "./usage-query.ts";

const NOON = Date.UTC(2026, 10, 15, 12);

function open() {
  const sql = memorySql();
  openSchema(sql, meterSchema);
  return { sql, rows: createMeterRows(sql) };
}
function attempt(id: string, overrides: Partial<AttemptRecord> = {}): AttemptRecord {
  return {
    ...{ v: 2, kind: "attempt", id, at: NOON, account: "a", deployment: null, device: "cpu", gpuUs: 10, flags: [] },
    ...{ prediction: id, attempt: 1, key: null, model: "o/n", version: "v", queuedMs: 0, runMs: 1, units: {} },
    ...{ outcome: "succeeded", cached: false, billed: true, costNano: 7, currency: "USD", price: "1" },
    ...overrides,
  };
}
const all = (overrides: Partial<UsageRequest> = {}): UsageRequest => ({
  ...{ from: 0, to: NOON + 400 * DAY_MS, by: "month", group: [], where: {}, limit: 1000, after: null },
  ...overrides,
});
const linesOf = (rows: ReturnType<typeof createMeterRows>): MeterRecord[] =>
  rows
    .raw(0, Infinity)
    .flatMap(({ lines }) => lines.split("\n").filter((line) => line !== ""))
    .map((line) => JSON.parse(line) as MeterRecord);

it("adds up to the records, whatever is sent again, in whatever parts", () => {
  const parts = fc.array(
    fc.record({ source: fc.constantFrom("shard-0", "shard-7", "session-abc"), from: fc.nat(20), count: fc.nat(8) }),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(parts, fc.nat(3), (sent, together) => {
      const { sql, rows } = open();
      const reached = new Map<string, number>();
      const batches = sent.map(({ source, from, count }) => {
        // A sender goes on where it was, or begins somewhere before: it leaves out none.
        const start = Math.min(from, reached.get(source) ?? 0);
        reached.set(source, Math.max(reached.get(source) ?? 0, start + count));
        const records = Array.from({ length: count }, (_, index) => {
          const n = start + index;
          return { n: n + 1, record: attempt(`${source}.${n}`, { gpuUs: 1 + n, at: NOON + (n % 5) * HOUR_MS }) };
        });
        return { source, records };
      });
      for (let at = 0; at < batches.length; at += together + 1)
        takeBatches(rows, batches.slice(at, at + together + 1), NOON + DAY_MS);
      const expected = [...reached].flatMap(([source, count]) =>
        Array.from({ length: count }, (_, n) => `${source}.${n}`),
      );
      const raw = linesOf(rows);
      expect(raw.map(({ id }) => id).toSorted()).toEqual(expected.toSorted());
      for (const by of ["hour", "day", "month"] as const) {
        const { groups } = queryUsage(sql, all({ by }));
        const sum = groups.reduce((total, { gpuUs }) => total + gpuUs, 0);
        expect(sum).toBe(raw.reduce((total, { gpuUs }) => total + gpuUs, 0));
        expect(groups.reduce((total, { requests }) => total + requests, 0)).toBe(expected.length);
      }
    }),
    { numRuns: 60 },
  );
});

it("changes no month that is closed: what comes late counts in the open one, and says so", () => {
  const { sql, rows } = open();
  const october = Date.UTC(2026, 9, 31, 23);
  const take = (n: number, now: number) =>
    takeBatches(rows, [{ source: "shard-1", records: [{ n, record: attempt(`p${n}`, { at: october }) }] }], now);
  const months = () => queryUsage(sql, all()).groups.map(({ at, requests }) => [new Date(at).getUTCMonth(), requests]);
  take(1, Date.UTC(2026, 10, 1, 23));
  expect(months()).toEqual([[9, 1]]);
  const [late] = take(2, Date.UTC(2026, 10, 2, 0));
  expect(late).toMatchObject({ at: Date.UTC(2026, 10, 2), endedAt: october, flags: ["late"] });
  // A clock that is put back opens none.
  take(3, Date.UTC(2026, 10, 1, 12));
  expect(months()).toEqual([
    [9, 1],
    [10, 2],
  ]);
});

it("lets no clock that is ahead count beyond now", () => {
  const { rows } = open();
  const record = attempt("ahead", { at: NOON + DAY_MS });
  expect(takeBatches(rows, [{ source: "shard-1", records: [{ n: 1, record }] }], NOON)).toMatchObject([{ at: NOON }]);
});

it("adds corrections to sums without counting a request, and intervals to time of instances", () => {
  const { sql, rows } = open();
  const interval: IntervalRecord = {
    ...{ v: 2, kind: "instance.interval", id: "s.0", at: NOON, account: "a", deployment: null, device: "cpu" },
    ...{ gpuUs: 500, flags: [], instance: "i", model: "o/n", version: "v", phase: "idle", fromMs: 0, toMs: 1 },
  };
  const correction = attempt("p1.correction", { gpuUs: -4, costNano: -2, flags: ["correction"] });
  takeBatches(
    rows,
    [
      {
        source: "shard-1",
        records: [
          { n: 1, record: attempt("p1") },
          { n: 2, record: correction },
        ],
      },
      { source: "session-1", records: [{ n: 0, record: interval }] },
    ],
    NOON,
  );
  expect(queryUsage(sql, all()).groups.map(({ currency, ...rest }) => [currency, rest])).toMatchObject([
    ["", { requests: 0, gpuUs: 0, instanceUs: 500, costNano: 0 }],
    ["USD", { requests: 1, billed: 1, gpuUs: 6, instanceUs: 0, costNano: 5 }],
  ]);
  const phases = queryUsage(sql, all({ group: ["phase"] })).groups.map(({ phase }) => phase);
  expect(phases).toEqual(["idle", "run"]);
});

it("keeps so many groups an hour, and counts the rest as one, so that sums stay right", () => {
  const { sql, rows } = open();
  const count = MAX_GROUPS + 20;
  const records = Array.from({ length: count }, (_, n) => ({
    n: n + 1,
    record: attempt(`p${n}`, { key: `key-${n}` }),
  }));
  takeBatches(rows, [{ source: "shard-1", records }], NOON);
  const { groups } = queryUsage(sql, all({ by: "hour", group: ["key"] }));
  expect(groups.length).toBe(MAX_GROUPS + 1);
  expect(groups.find(({ key }) => key === OTHERS)?.requests).toBe(20);
  expect(groups.reduce((sum, { costNano }) => sum + costNano, 0)).toBe(7 * count);
});

it("tells sums, and no error, whatever pools add up to", () => {
  const { sql, rows } = open();
  const most = Number.MAX_SAFE_INTEGER;
  const lie = { gpuUs: most, costNano: most, units: { tokens: 1e308 } };
  const keys = Array.from({ length: 400 }, (_, n) => `key-${n}`);
  for (const hour of [0, 30, 60, 90, 120])
    takeBatches(
      rows,
      [
        {
          source: `pool ${hour}`,
          records: keys.map((key, n) => ({ n, record: attempt(`p${n}`, { ...lie, key, at: NOON - hour * HOUR_MS }) })),
        },
      ],
      NOON,
    );
  expect(queryUsage(sql, all()).groups).toMatchObject([
    { requests: 2000, gpuUs: most, costNano: most, units: { tokens: most } },
  ]);
});

it("tells in pages what it tells at once", () => {
  const { sql, rows } = open();
  const records = Array.from({ length: 60 }, (_, n) => ({
    n: n + 1,
    record: attempt(`p${n}`, { key: `key-${n % 4}`, at: NOON - (n % 15) * 26 * HOUR_MS }),
  }));
  takeBatches(rows, [{ source: "shard-1", records }], NOON);
  for (const by of ["hour", "day", "month"] as const) {
    const paged = [];
    for (let after: UsageRequest["after"] | undefined = null; after !== undefined;) {
      const { groups, next } = queryUsage(sql, all({ by, group: ["key"], limit: 3, after }));
      paged.push(...groups);
      after = next ?? undefined;
    }
    expect(paged).toEqual(queryUsage(sql, all({ by, group: ["key"] })).groups);
    expect(paged.reduce((sum, { requests }) => sum + requests, 0)).toBe(60);
  }
});

it("remembers so many sessions of a pool token, the latest, and none the less of another's", () => {
  const { sql, rows } = open();
  rows.setHighest(new Map([["pool other session-a", 5]]), NOON - DAY_MS);
  for (let n = 0; n < MAX_SESSIONS + 20; n += 1) rows.setHighest(new Map([[`pool liar a ${n} b`, n]]), NOON + n);
  const [{ count } = {}] = sql("SELECT count(*) AS count FROM session");
  expect(count).toBe(MAX_SESSIONS + 1);
  const [latest, oldest] = [`pool liar a ${MAX_SESSIONS + 19} b`, "pool liar a 0 b"];
  expect([...rows.highest(["pool other session-a", latest, oldest]).values()]).toEqual([5, MAX_SESSIONS + 19, -1]);
});

it("forgets hours after 40 days and days after 13 months, some at a time", () => {
  const { sql, rows } = open();
  takeBatches(rows, [{ source: "session-1", records: [{ n: 1, record: attempt("p1") }] }], NOON);
  const spans = () => sql("SELECT span FROM sums").map(({ span }) => span);
  expect([rows.sweep(NOON + 39 * DAY_MS), spans()]).toEqual([false, ["d", "h"]]);
  expect([rows.sweep(NOON + 41 * DAY_MS), spans()]).toEqual([false, ["d"]]);
  expect(keptFrom(Date.UTC(2027, 11, 20)).days).toBe(Date.UTC(2026, 10, 1));
  rows.sweep(Date.UTC(2027, 11, 20));
  expect(spans()).toEqual(["d"]);
  rows.sweep(Date.UTC(2028, 0, 1));
  expect(spans()).toEqual([]);
});

it("cuts records into rows that a database takes", () => {
  const { rows } = open();
  const units = Object.fromEntries(Array.from({ length: 16 }, (_, n) => [`unit-${n}-${"x".repeat(50)}`, n]));
  const records = Array.from({ length: 1500 }, (_, n) => ({ n: n + 1, record: attempt(`p${n}`, { units }) }));
  takeBatches(rows, [{ source: "shard-1", records }], NOON);
  const found = rows.raw(0, Infinity);
  expect(found.length).toBeGreaterThan(2);
  expect(Math.max(...found.map(({ lines }) => lines.length))).toBeLessThan(600_000);
  expect(linesOf(rows)).toHaveLength(1500);
});

it("numbers rows of records by the clock, so that an account which begins anew uses no number again", () => {
  const numberAt = (now: number) => {
    const { rows } = open();
    takeBatches(rows, [{ source: "shard-1", records: [{ n: 1, record: attempt("p1") }] }], now);
    takeBatches(rows, [{ source: "shard-1", records: [{ n: 2, record: attempt("p2") }] }], now - DAY_MS);
    return rows.raw(0, Infinity).map(({ n }) => n);
  };
  const [first = 0, second = 0] = numberAt(NOON);
  expect(second).toBeGreaterThan(first);
  expect(numberAt(NOON + DAY_MS)[0]).toBeGreaterThan(second);
});

it("gives a pool token no more than a second a second for each device, however many intervals and sessions it names", () => {
  const { sql, rows } = open();
  const [hourUs, rate] = [HOUR_MS * 1000, { token: "t", devices: 2 }];
  const interval = (id: string): IntervalRecord => ({
    ...{ v: 2, kind: "instance.interval", id, at: NOON, account: "a", deployment: null, device: "cpu", gpuUs: hourUs },
    ...{ flags: [], instance: "i", model: "o/n", version: "v", phase: "idle", fromMs: 0, toMs: HOUR_MS },
  });
  const take = (session: string, count: number, now: number, bound = rate) => {
    const records = Array.from({ length: count }, (_, n) => ({
      n: n + now,
      record: interval(`${session}.${n + now}`),
    }));
    return takeBatches(rows, [{ source: `pool t ${session}`, records, rate: bound }], now);
  };
  const hours = (taken: readonly MeterRecord[]) => taken.reduce((sum, { gpuUs }) => sum + gpuUs / hourUs, 0);
  const first = take("one", 2 * 24 + 5, NOON);
  expect([hours(first), first.filter(({ flags }) => flags.includes("capped")).length]).toEqual([2 * 24, 5]);
  // A session that it makes up has nothing of its own; ten hours later there are as many more for each device.
  expect(take("two", 1, NOON)).toMatchObject([{ gpuUs: 0, flags: ["capped"] }]);
  const ten = NOON + 10 * HOUR_MS;
  expect(hours(take("two", 30, ten))).toBe(20);
  // What comes again uses nothing up, and another token has its own.
  expect([take("two", 30, ten), take("one", 5, NOON)]).toEqual([[], []]);
  expect(take("four", 1, ten, { token: "other", devices: 1 })).toMatchObject([{ gpuUs: hourUs, flags: [] }]);
  // A clock that is put back, and goes on, gives nothing twice.
  expect(hours([...take("five", 1, NOON), ...take("six", 1, ten)])).toBe(0);
  expect(queryUsage(sql, all()).groups).toMatchObject([{ instanceUs: (2 * 24 + 20 + 1) * hourUs }]);
  // A month away is told as a whole, and no more than that.
  expect(hours(take("seven", 2 * 32 * 24, NOON + 60 * DAY_MS))).toBe(2 * 31 * 24);
});

it("counts what pools that were away together had, though they come back one by one", () => {
  const { rows } = open();
  const dayUs = DAY_MS * 1000;
  const had = (session: string, days: number, devices: number, now: number) => {
    const interval: IntervalRecord = {
      ...{ v: 2, kind: "instance.interval", id: session, at: now, account: "a", deployment: null, device: "cpu" },
      ...{ gpuUs: days * dayUs, flags: [], instance: "i", model: null, version: null, phase: "unused" },
      ...{ fromMs: now - days * DAY_MS, toMs: now },
    };
    const rate = { token: "t", devices };
    const [taken] = takeBatches(
      rows,
      [{ source: `pool t ${session}`, records: [{ n: now, record: interval }], rate }],
      now,
    );
    return [(taken?.gpuUs ?? 0) / dayUs, taken?.flags];
  };
  expect(had("s", 3, 3, NOON)).toEqual([3, []]);
  const back = NOON + 10 * DAY_MS;
  // The first of three is known again, and the others are not yet.
  for (const session of ["one", "two", "three"]) expect(had(session, 10, 1, back)).toEqual([10, []]);
  expect(had("four", 1, 3, back)).toEqual([0, ["capped"]]);
  // From when one alone was told of, there is the time of one.
  expect(had("five", 3, 1, back + DAY_MS)).toEqual([3, []]);
  expect(had("six", 3, 1, back + 2 * DAY_MS)).toEqual([1, ["capped"]]);
  // Each device that is new has its day, as those of the beginning had, and has it once.
  expect(had("seven", 9, 10, back + 2 * DAY_MS)).toEqual([7, ["capped"]]);
  expect(had("eight", 1, 1, back + 2 * DAY_MS)).toEqual([0, ["capped"]]);
  expect(had("nine", 1, 10, back + 2 * DAY_MS)).toEqual([0, ["capped"]]);
});

it("forgets what tokens may still have had that tell no more, as those of machines that are returned", () => {
  const { sql, rows } = open();
  rows.setNote("account", "a");
  for (const [token, at] of [["gone", NOON] as const, ["there", NOON + 40 * DAY_MS] as const])
    rows.setNote(`${DEVICE_TIME}${token}`, `${at} 5 1`);
  const names = () => sql("SELECT name FROM note ORDER BY name").map(({ name }) => name);
  rows.sweep(NOON + 45 * DAY_MS);
  expect(names()).toEqual(["account", `${DEVICE_TIME}gone`, `${DEVICE_TIME}there`]);
  rows.sweep(NOON + 46 * DAY_MS);
  expect(names()).toEqual(["account", `${DEVICE_TIME}there`]);
});

it("keeps who was charged for what a session told last, as decided first, and forgets it with the session", () => {
  const { sql, rows } = open();
  expect(rows.isEmpty()).toBe(true);
  expect(rows.decide("pool t one", 0, ["a", null], NOON)).toEqual(["a", null]);
  expect(rows.decide("pool t one", 0, [null, "b", "b"], NOON)).toEqual(["a", null, "b"]);
  expect(rows.decide("pool t two", 0, ["b"], NOON)).toEqual(["b"]);
  expect(rows.decide("pool t one", 3, ["c"], NOON + 1)).toEqual(["c"]);
  expect([rows.decide("pool t one", 3, [null], NOON), rows.isEmpty()]).toEqual([["c"], false]);
  const count = (): unknown => sql("SELECT count(*) AS many FROM decided")[0]?.["many"];
  for (let n = 0; n < MAX_SESSIONS; n += 1) rows.decide(`pool t made-up-${n}`, 0, [null], NOON + 2);
  expect(rows.decide("pool other one", 0, ["a"], NOON)).toEqual(["a"]);
  expect(count()).toBe(MAX_SESSIONS + 1);
  expect(rows.sweep(NOON + 46 * DAY_MS)).toBe(true);
  while (rows.sweep(NOON + 46 * DAY_MS));
  expect(rows.isEmpty()).toBe(true);
});

it("is stored so that the release before, which decided nothing, can go on with it", () => {
  const sql = memorySql();
  const before = { ...meterSchema, steps: [meterSchema.steps[0]] as const };
  openSchema(sql, before);
  const rows = createMeterRows(sql);
  takeBatches(rows, [{ source: "shard-1", records: [{ n: 1, record: attempt("p1") }] }], NOON);
  openSchema(sql, meterSchema);
  expect(rows.decide("pool t one", 0, ["a"], NOON)).toEqual(["a"]);
  openSchema(sql, before);
  takeBatches(rows, [{ source: "shard-1", records: [{ n: 2, record: attempt("p2") }] }], NOON);
  expect(linesOf(rows).map(({ id }) => id)).toEqual(["p1", "p2"]);
});
