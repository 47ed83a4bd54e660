/** What the judge of usage under chaos notices: each way in which records, sums and predictions can differ. */
import { expect, test } from "vitest";
import type { AttemptRecord } from "../../src/metering/record.ts";
import { judgeDevices, measureDevices } from "../chaos/harness/held-devices.ts";
import type { HeldRun } from "../chaos/harness/held-devices.ts";
import { sumOf } from "../chaos/harness/usage-records.ts";
import { judgeUsage } from "../chaos/harness/usage.ts";
import type { Ended } from "../chaos/harness/usage.ts";

function record(attempt: number, over: Partial<AttemptRecord> = {}): AttemptRecord {
  return {
    ...{ v: 2, kind: "attempt", id: `p.${attempt}`, at: 0, account: "a", deployment: null, device: "cpu" },
    ...{ gpuUs: 1000, flags: [], prediction: "p", attempt, key: "k", model: "local/echo", version: "v" },
    ...{ queuedMs: 1, runMs: 1, units: {}, outcome: "succeeded", cached: false, billed: true },
    ...{ costNano: 0, currency: null, price: null },
    ...over,
  };
}

const corrected = record(1, { id: "p.1.correction", flags: ["correction"], wasBilled: false });
const lost = record(1, { outcome: "lost", billed: false, flags: ["estimated"] });
const ended = (attempt: number, runs = attempt, status: Ended["view"]["status"] = "succeeded"): Ended[] => [
  { view: { id: "p", status, attempt }, runs },
];

function judged(records: AttemptRecord[], predictions: Ended[], read = sumOf(records)): string {
  return judgeUsage(records, [{ account: "a", read: { here: read } }], predictions).join("\n");
}

test("nothing is wrong where each start has its record, the last is billed, and sums are the records'", () => {
  const correction = record(1, { id: "p.1.correction", outcome: "superseded", billed: false, gpuUs: -500 });
  correction.flags.push("correction", "superseded");
  expect(judged([lost, correction, record(2)], ended(2))).toBe("");
  // A start that was counted and never happened.
  expect(judged([record(2)], ended(2, 1))).toBe("");
  expect(judged([lost, corrected], ended(1))).toBe("");
  expect(judged([], ended(0, 0, "canceled"))).toBe("");
});

type Wrong = [what: string, AttemptRecord[], Ended[], ReturnType<typeof sumOf> | undefined, said: RegExp];

test.each<Wrong>([
  ["counted twice", [record(1)], ended(1), sumOf([record(1), record(1)]), /here of a says .*"requests":2/],
  ["not counted", [record(1)], ended(1), sumOf([]), /here of a says .*"requests":0/],
  ["of a stranger", [record(1, { account: "b" })], ended(1), sumOf([]), /an account that nobody reads: b/],
  ["missing", [record(2)], ended(2), undefined, /ran 2 times and has 1 records/],
  ["missing for the end", [lost], ended(2, 1), undefined, /has no record of its attempt 2/],
  ["of a start that was none", [lost, record(2)], ended(1), undefined, /made 1 attempts and has records of 1,2/],
  ["twice", [record(1), record(1, { billed: false })], ended(2), undefined, /has an attempt recorded twice/],
  ["of nothing", [record(2), { ...lost, flags: ["correction"] }], ended(2, 1), undefined, /a correction of nothing/],
  ["billed twice", [record(1), record(2)], ended(2), undefined, /2 of its attempts are billed/],
  ["billed never", [record(1, { billed: false })], ended(1), undefined, /0 of its attempts are billed/],
  ["uncounted", [lost, { ...corrected, wasBilled: true }], ended(1), undefined, /1 of its attempts billed, and adds 0/],
  ["billed early", [record(1), record(2, { billed: false })], ended(2, 2, "failed"), undefined, /did not end it/],
])("a record %s is noticed", (_what, records, predictions, read, said) => {
  expect(judged(records, predictions, read)).toMatch(said);
});

const MS = 1000;
const run = (keys: string[], from: number, to: number | null, pool = "one"): HeldRun => {
  const [beganUs, endedUs] = [from * MS, to === null ? null : to * MS];
  return { process: 1, pool, device: "cpu", keys, beganUs, aliveUs: beganUs, endedUs };
};
/** Of the prediction that is named as its key is, which had the device for so long. */
const took = (prediction: string, ms: number, over: Partial<AttemptRecord> = {}) =>
  record(1, { id: `${prediction}.1`, prediction, gpuUs: ms * MS, ...over });

function judgedDevices(runs: HeldRun[], records: AttemptRecord[]): string {
  const ids = new Map(runs.flatMap(({ keys }) => keys.map((key) => [key, key])));
  return judgeDevices(measureDevices(runs, records, ids)).join("\n");
}

test("shares of a device are as long as models held it together, and a little longer", () => {
  const batch = [run(["a", "b"], 0, 300), run(["c"], 100, 400)];
  expect(judgedDevices(batch, [took("a", 120), took("b", 120), took("c", 170)])).toBe("");
  expect(judgedDevices(batch, [took("a", 400), took("b", 400), took("c", 400)])).toMatch(/too much is told: cpu/);
  expect(judgedDevices(batch, [took("a", 120), took("b", 120)])).toMatch(/too little is told: cpu/);
  // Two pools have a device each.
  const hosts = [run(["a"], 0, 300), run(["b"], 0, 300, "other")];
  expect(judgedDevices(hosts, [took("a", 150), took("b", 150)])).toMatch(/too little/);
  expect(judgedDevices(hosts, [took("a", 305), took("b", 305)])).toBe("");
});

test("a run that was killed had its device until it was last alive", () => {
  const killed = { ...run(["a"], 0, null), aliveUs: 2300 * MS };
  expect(judgedDevices([killed], [took("a", 2900)])).toBe("");
  expect(judgedDevices([killed], [took("a", 4200)])).toMatch(/too much/);
  expect(judgedDevices([killed], [took("a", 2200)])).toMatch(/too little/);
});

test("what a pool that died did not tell is left out, and what it told before is not", () => {
  const runs = [run(["a"], 0, 300), run(["b"], 2000, null)];
  const estimated = took("b", 60_000, { flags: ["estimated"] });
  expect(judgedDevices(runs, [took("a", 305), estimated])).toBe("");
  expect(judgedDevices(runs, [took("a", 200), estimated])).toMatch(/too little/);
  const correction = took("b", -59_000, { id: "b.1.correction", flags: ["correction"] });
  expect(judgedDevices(runs, [took("a", 305), estimated, correction])).toBe("");
  expect(judgedDevices(runs, [took("a", 305), estimated, { ...correction, gpuUs: 0 }])).toMatch(/too much/);
});
