import { expect, test } from "vitest";
import type { View } from "../chaos/harness/client.ts";
import { isTooLate, recoveryMs } from "../chaos/harness/recovery.ts";

const at = (ms: number): string => new Date(ms).toISOString();
/** A prediction that was accepted and started then, and ended then. */
const ran = (startedAt: number, completedAt: number): View => ({
  ...{ id: "a", status: "succeeded", output: null, error: null, attempt: 1 },
  ...{ created_at: at(startedAt), started_at: at(startedAt), completed_at: at(completedAt) },
});
const never = (): number => 0;

test("a recovery takes until the next completion, and until the last one of what was broken", () => {
  const outage = { beganAt: 500, endedAt: 1000 };
  expect(recoveryMs(outage, [], never)).toBe(0);
  expect(recoveryMs(outage, [ran(600, 1300), ran(700, 2000)], never)).toBe(300);
  expect(recoveryMs(outage, [ran(600, 1300), ran(400, 2000)], never)).toBe(1000);
  expect(recoveryMs({ ...outage, concerns: "accepted" }, [ran(600, 1300), ran(700, 2000)], never)).toBe(1000);
});

test("for which the machine stood still meanwhile is no part of it", () => {
  const asked: number[][] = [];
  const stalledMs = (...times: [number, number]): number => (asked.push(times), 200);
  expect(recoveryMs({ beganAt: 500, endedAt: 1000 }, [ran(400, 2000)], stalledMs)).toBe(800);
  expect(asked).toEqual([[1000, 2000]]);
});

test("a recovery is a fault after four times its aim, and after eight times on a machine that is half as fast", () => {
  const faults = (slowness: number) => [1999, 8000, 8001, 16_000, 16_001].map((ms) => isTooLate(ms, 2000, slowness));
  expect(faults(1)).toEqual([false, false, true, true, true]);
  expect(faults(2)).toEqual([false, false, false, false, true]);
});
