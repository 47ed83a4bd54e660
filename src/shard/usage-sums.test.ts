/**
 * What meters add up to, against the predictions themselves: whatever became of their pools, and however they told, the
 * sums of an account, and those of all accounts together, are what each attempt came to in the end.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import type { PoolEvent } from "../contract/event.ts";
import { newPredictionId } from "../contract/ids.ts";
import { createMeterRows, meterSchema } from "../metering/meter-rows.ts";
import type { NumberedRecord } from "../metering/record.ts";
import { takeBatches } from "../metering/take.ts";
import { partsOf, takeParts } from "../metering/totals.ts";
import { queryUsage } from "../metering/usage-query.ts";
import { openSchema } from "../object-schema.ts";
import type { Sql } from "./sql.ts";
import { ShardCore } from "./core.ts";
import type { Row } from "./row.ts";
import { defaultRules } from "./rules.ts";
import { usageRecords } from "./usage-records.ts";

const START = Date.UTC(2026, 10, 29, 23, 59);
const SESSION = "session-a";
const LANES = ["default"];
const price = { id: "1:*", currency: "USD", perSecond: { "*": 4000 }, perUnit: { n: 3 }, perRequest: 10, minimum: 0 };

const claims = ["goes on", "stays away", "comes back", "hands back", "is canceled"] as const;
const took = fc.record({ gpuUs: fc.nat(20_000_000), runMs: fc.nat(20_000), n: fc.nat(50) });
const claim = fc.record({ what: fc.constantFrom(...claims), spoke: fc.boolean(), waitMs: fc.nat(20_000), took });
const prediction = fc.record({
  claims: fc.array(claim, { minLength: 1, maxLength: 3 }),
  end: fc.constantFrom("succeeded", "model_error", "model_crashed"),
});
type Life = { claims: { what: (typeof claims)[number]; spoke: boolean; waitMs: number; took: Took }[]; end: string };
type Took = { gpuUs: number; runMs: number; n: number };

/** One prediction, through all that its pools do with it. */
function live({ claims: all, end }: Life, startMs: number): Row {
  const clock = { now: startMs };
  let tokens = 0;
  const core = new ShardCore(memorySql(), {
    ...{ rules: defaultRules, now: () => clock.now, newToken: () => `token-${(tokens += 1)}` },
  });
  const id = newPredictionId(1);
  core.submit({ ...submission(id), pricing: { price, expectedNano: 7 } });
  const row = (): Row => {
    const found = core.store.get(id);
    if (found === null) throw new Error("the row is gone");
    return found;
  };
  const late: (() => void)[] = [];
  for (const { what, spoke, waitMs, took: some } of all) {
    if (row().state !== "waiting") break;
    const [answer] = core.claim({ session: SESSION, jobs: [{ id, startNow: true }] }, LANES);
    if (answer?.verdict !== "granted") throw new Error("it is not granted");
    const { token } = answer;
    let seq = 0;
    const send = (event: object) => {
      core.deliver([{ id, token, seq, ...event } as PoolEvent], SESSION, LANES);
      seq += 1;
    };
    const usage = { device: "h200", queuedMs: 1, runMs: some.runMs, gpuUs: some.gpuUs, units: { n: some.n } };
    const finish = () =>
      send(
        end === "succeeded"
          ? { type: "succeeded", output: 1, usage }
          : {
              type: "failed",
              kind: end === "model_error" ? "model" : "crash",
              error: { code: end, message: "" },
              usage,
            },
      );
    if (row().attemptAt === undefined) send({ type: "starting" });
    if (spoke) send({ type: "log", text: "." });
    const { attempt } = row();
    clock.now += waitMs;
    const vanish = () => core.judge(SESSION, [id], { alive: false, remainingMs: 0 });
    const report = () => core.deliver([], SESSION, LANES, [{ id, token, attempt, outcome: "stopped", usage }]);
    if (what === "hands back") send({ type: "released", reason: "drain", ...(spoke ? {} : { usage }) });
    else if (what === "is canceled") {
      core.cancel(id, "account");
      if (spoke) vanish();
      report();
    } else if (what === "goes on") finish();
    else vanish();
    if (what === "stays away" && spoke) late.push(report);
    if (what === "comes back") {
      // The latest claim reports again: what was taken for lost goes on, and ends.
      send({ type: "log", text: "still here" });
      clock.now += 1000;
      finish();
      report();
    }
  }
  core.cancel(id, "account");
  core.judge(SESSION, [id], { alive: false, remainingMs: 0 });
  for (const report of late) report();
  return row();
}

/** What its attempts came to in the end: of each, what was known last. */
function truthOf(row: Row) {
  const last = new Map((row.usage ?? []).map((entry) => [entry.attempt, entry]));
  const sum = (of: (entry: NonNullable<Row["usage"]>[number]) => number) =>
    [...last.values()].reduce((total, entry) => total + of(entry), 0);
  return {
    requests: last.size,
    // What is billed costs ten for the request at least.
    billed: (row.costNano ?? 0) > 0 ? 1 : 0,
    costNano: row.costNano ?? 0,
    gpuUs: sum(({ gpuUs }) => gpuUs),
    runMs: sum(({ runMs }) => runMs),
    queuedMs: sum(({ queuedMs }) => queuedMs),
    n: sum(({ units = {} }) => units["n"] ?? 0),
  };
}
type Truth = ReturnType<typeof truthOf>;
const nothing: Truth = { requests: 0, billed: 0, costNano: 0, gpuUs: 0, runMs: 0, queuedMs: 0, n: 0 };
const added = (all: readonly Truth[]): Truth =>
  all.reduce(
    (a, b) => Object.fromEntries(Object.entries(a).map(([name, had]) => [name, had + b[name as keyof Truth]])) as Truth,
    nothing,
  );

/** The same of each device: an attempt stays on the one that it was first told of. */
function deviceTimeOf(rows: readonly Row[]): Record<string, number> {
  const times: Record<string, number> = {};
  for (const { usage = [] } of rows)
    for (const entries of Map.groupBy(usage, ({ attempt }) => attempt).values()) {
      const device = entries[0]?.device ?? "";
      times[device] = (times[device] ?? 0) + (entries.at(-1)?.gpuUs ?? 0);
    }
  return times;
}

function summedByDevice(sql: Sql): Record<string, number> {
  const asked = { from: 0, to: START + 86_400_000 * 3, by: "month", group: ["device"], where: {} } as const;
  const times: Record<string, number> = {};
  for (const { device, gpuUs } of queryUsage(sql, { ...asked, limit: 1000, after: null }).groups)
    times[device ?? ""] = (times[device ?? ""] ?? 0) + gpuUs;
  return times;
}

function summed(sql: Sql, by: "hour" | "day" | "month", group: readonly ("device" | "model")[]): Truth {
  const to = START + 86_400_000 * 3;
  const asked = { from: 0, to, by, group, where: {}, limit: 1000, after: null };
  const { groups } = queryUsage(sql, asked);
  return added(groups.map(({ units, ...sums }) => ({ ...pick(sums), n: units["n"] ?? 0 })));
}
function pick({ requests, billed, costNano, gpuUs, runMs, queuedMs }: Omit<Truth, "n">) {
  return { requests, billed, costNano, gpuUs, runMs, queuedMs };
}

it("are what the attempts came to, however pools were lost, came back and told", () => {
  const seen = { goneOn: 0, corrected: 0 };
  fc.assert(
    fc.property(fc.array(prediction, { minLength: 1, maxLength: 4 }), fc.nat(3), (lives, together) => {
      const [own, all] = [memorySql(), memorySql()];
      for (const sql of [own, all]) openSchema(sql, meterSchema);
      const [rows, totals] = [createMeterRows(own), createMeterRows(all)];
      const ended = lives.map((life, at) => live(life, START + at * 20_000));
      let n = 0;
      const records: NumberedRecord[] = ended.flatMap((row) => {
        row.usage = (row.usage ?? []).map((entry) => ({ ...entry, n: (n += 1) }));
        return usageRecords(row, new Set(row.usage.map((entry) => entry.n ?? 0)));
      });
      seen.corrected += records.filter(({ record }) => record.flags.includes("correction")).length;
      seen.goneOn += records.filter(({ record }) => "wasBilled" in record).length;
      for (let at = 0; at < records.length; at += together + 1) {
        const part = records.slice(at, at + together + 1);
        takeBatches(rows, [{ source: "shard-1", records: part }], START + 60_000 + at);
      }
      takeParts(totals, "a", partsOf(rows.raw(0, Infinity)), { now: START, rentsAt: () => () => null });
      const truth = added(ended.map(truthOf));
      for (const by of ["hour", "day", "month"] as const)
        for (const group of [[], ["device", "model"]] as const) expect(summed(own, by, group)).toEqual(truth);
      expect(summedByDevice(own)).toEqual(deviceTimeOf(ended));
      // All accounts together keep no units.
      expect(summed(all, "day", ["model"])).toEqual({ ...truth, n: 0 });
    }),
    { numRuns: 25 },
  );
  // These are what it is about.
  expect(seen.corrected).toBeGreaterThan(0);
  expect(seen.goneOn).toBeGreaterThan(0);
});
