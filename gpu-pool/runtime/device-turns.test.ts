/** What attempts take of devices in processes that lie about it: the slot's time, whatever they say. */
import { expect, test } from "vitest";
import { granted } from "../../test/unit/granted.ts";
import { createHandClock } from "../../test/unit/hand-clock.ts";
import type { AttemptUsage } from "../../src/contract/usage.ts";
import { createMeter } from "../metering/meter.ts";
import { holdDevices, leaveDevices } from "./device-turns.ts";
import { advanceRun, applyItemMessage, beginRun } from "./item-messages.ts";
import type { Prediction, Reporter } from "./prediction.ts";
import { Run } from "./run.ts";

/** One slot of one device. */
function setUp() {
  const { clock, now, pass } = createHandClock();
  const { attempts, runs: meter, devices, busyUs } = createMeter(clock);
  devices([{ id: "0", kind: "cuda", name: "NVIDIA H200", memoryBytes: null }]);
  const told = new Map<string, AttemptUsage | undefined>();
  const tell = ({ token }: { token: string }) => void told.set(token, attempts.take(token));
  const report = { succeeded: tell, failed: tell, forget: tell } as Partial<Reporter> as Reporter;
  const limits = () => ({ runLimitMs: null, nowMs: now(), meter });
  const context = () => ({ ...limits(), report, origin: { scratchDir: "", fileMark: "", isConfined: false } });
  const frame = { value: {}, sizeBytes: 2, mentionsFile: false };
  const runs = new Map<number, Run>();
  const hold = () => holdDevices(runs.values(), 0, meter);
  const members = (tokens: string[]) => tokens.map((token) => granted({ id: token, token }));
  return {
    pass,
    told: (token: string) => told.get(token)?.gpuUs,
    busyUs,
    /** A run is sent; it begins where the slot is free. */
    give(tokens: string[], isOneCall = true, predictions: Prediction[] = members(tokens)): Run {
      for (const { ref } of predictions) attempts.granted({ ...ref, attempt: 1 });
      const number = runs.size + 1;
      const shape = { size: tokens.length, cost: tokens.length, bucket: 0 };
      const given = { number, predictions, devices: ["0"], exclusive: false, startedAtMs: now(), hasBegun: false };
      const run = new Run({ ...given, shape, isOneCall });
      if ([...runs.values()].every(({ first }) => first === undefined)) beginRun(run, limits());
      runs.set(number, run);
      hold();
      return run;
    },
    says: (run: Run, type: "begun" | "called") => advanceRun(run, type, limits()),
    done(run: Run, token: string, more: { status: "failed"; batchError: true } | { status: "succeeded" | "canceled" }) {
      const item = run.item(token);
      if (item !== undefined) applyItemMessage(item, { type: "done", id: token, ...more }, frame, context());
      hold();
    },
    dies(run: Run) {
      leaveDevices(run, meter);
      runs.delete(run.number);
    },
  };
}
const well = { status: "succeeded" } as const;

test("a call that is said to be over at once has its devices until its results are here", () => {
  const { pass, give, says, done, told, busyUs } = setUp();
  const run = give(["a", "b"]);
  says(run, "called");
  pass(100);
  done(run, "a", well);
  pass(50);
  done(run, "b", well);
  pass(10);
  expect([told("a"), told("b"), busyUs()]).toEqual([50_000, 100_000, 150_000]);
});

test("a batch that is said to have failed has its devices until it is over", () => {
  const { pass, give, done, dies, busyUs } = setUp();
  const run = give(["a", "b"]);
  for (const token of ["a", "b"]) done(run, token, { status: "failed", batchError: true });
  pass(100);
  expect(busyUs()).toBe(100_000);
  dies(run);
});

test("a run that is never said to begin has its devices from the last result of the one before it", () => {
  const { pass, give, says, done, told, busyUs } = setUp();
  const [first, second] = [give(["a"]), give(["b"])];
  pass(10);
  says(first, "called");
  done(first, "a", well);
  pass(30);
  done(second, "b", well);
  expect([told("a"), told("b"), busyUs()]).toEqual([10_000, 30_000, 40_000]);
});

test("a run that begins beside the outputs of the one before it shares the devices with that", () => {
  const { pass, give, says, done, told } = setUp();
  const [first, second] = [give(["a"]), give(["b"])];
  pass(10);
  says(first, "called");
  says(second, "begun");
  pass(20);
  done(first, "a", well);
  pass(5);
  done(second, "b", well);
  expect([told("a"), told("b")]).toEqual([20_000, 15_000]);
});

test("members that run one after another have the devices in turn, whether or not they are said to begin", () => {
  const { pass, give, done, told, busyUs } = setUp();
  const predictions = ["a", "b", "c"].map((token) => granted({ id: token, token }));
  const run = give(["a", "b", "c"], false, predictions);
  pass(10);
  const [, canceled] = predictions;
  if (canceled !== undefined) canceled.ending = "canceled";
  done(run, "a", well);
  pass(20);
  done(run, "b", { status: "canceled" });
  pass(5);
  done(run, "c", well);
  expect([told("a"), told("b"), told("c"), busyUs()]).toEqual([10_000, undefined, 25_000, 35_000]);
});

test("one whose process died before its turn has no devices until it has them again", () => {
  const { pass, give, done, dies, told, busyUs } = setUp();
  const predictions = [granted({ id: "a", token: "a" })];
  const first = give(["a"], true, predictions);
  pass(10);
  dies(first);
  pass(500);
  expect(busyUs()).toBe(10_000);
  const again = give(["b"]);
  done(again, "b", well);
  expect(told("b")).toBe(0);
});
