/** What the judge of usage under chaos notices: each way in which records, sums and predictions can differ. */
import { expect, test } from "vitest";
import type { AttemptRecord } from "../../src/metering/record.ts";
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
  const goneOn = record(1, { id: "p.1.correction", flags: ["correction"] });
  expect(judged([lost, goneOn], ended(1))).toBe("");
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
  ["billed early", [record(1), record(2, { billed: false })], ended(2, 2, "failed"), undefined, /did not end it/],
])("a record %s is noticed", (_what, records, predictions, read, said) => {
  expect(judged(records, predictions, read)).toMatch(said);
});
