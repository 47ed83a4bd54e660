import { expect, test } from "vitest";
import { callObject, isPassing, retryDelayMs } from "./object-calls.ts";

type Marks = { overloaded?: boolean; remote?: boolean; retryable?: boolean; durableObjectReset?: boolean };

const failing = (marks: Marks) => Object.assign(new Error("failed"), marks);

/** How often a call is made that always fails so, and how long was waited in all. */
async function tries(marks: Marks): Promise<{ calls: number; waits: number[] }> {
  const waits: number[] = [];
  let calls = 0;
  const call = async () => {
    calls += 1;
    throw failing(marks);
  };
  const sleep = async (ms: number) => void waits.push(ms);
  await expect(callObject(call, { random: () => 0.5, sleep })).rejects.toThrow("failed");
  return { calls, waits };
}

test("what fails in passing is tried four times, longer apart each time", async () => {
  expect(await tries({ retryable: true })).toEqual({ calls: 4, waits: [100, 200, 400] });
  expect(await tries({ durableObjectReset: true })).toEqual({ calls: 4, waits: [100, 200, 400] });
});

test.each<Marks>([
  {},
  { overloaded: true },
  { overloaded: true, retryable: true },
  { remote: true },
  { remote: true, retryable: true },
  { remote: true, durableObjectReset: true },
])("%j is not tried again in place", async (marks) => {
  expect(await tries(marks)).toEqual({ calls: 1, waits: [] });
});

test("the answer of a later try is the answer", async () => {
  let calls = 0;
  const call = async () => {
    calls += 1;
    if (calls < 3) throw failing({ retryable: true });
    return calls;
  };
  expect(await callObject(call, { sleep: async () => {} })).toBe(3);
});

test("callers that failed together come back apart", () => {
  const delays = Array.from({ length: 200 }, () => retryDelayMs(5, failing({ retryable: true })));
  expect(Math.min(...delays)).toBeGreaterThanOrEqual(800);
  expect(Math.max(...delays)).toBeLessThanOrEqual(2400);
  expect(new Set(delays).size).toBeGreaterThan(50);
});

test("an object that can't keep up is left alone for longer, and the longer the more often it says so", () => {
  const delays = [1, 2, 3, 4, 5, 50].map((failures) =>
    retryDelayMs(failures, failing({ overloaded: true }), () => 0.5),
  );
  expect(delays).toEqual([2000, 4000, 8000, 16_000, 30_000, 30_000]);
  expect(retryDelayMs(50, failing({ retryable: true }), () => 0.5)).toBe(2000);
});

test("what an object's own code throws is not passing; an overload behind it is", () => {
  expect(isPassing(failing({ remote: true }))).toBe(false);
  expect(isPassing(failing({ remote: true, overloaded: true }))).toBe(true);
  expect(isPassing("overloaded")).toBe(false);
});
