import { afterEach, expect, test, vi } from "vitest";
import { askProgram } from "./ask-program.ts";
import { checkDevice } from "./device-check.ts";

afterEach(() => void vi.useRealTimers());

// Node throws at once for a name like this, as it does where the system has no memory for another process.
const UNSTARTABLE = "no\0program";

test("a program answers, or is given up after its limit", async () => {
  expect(await askProgram("sh", ["-c", "echo said; exit 3"], 60_000)).toMatchObject({
    stdout: "said\n",
    error: { code: 3 },
  });
  expect(await askProgram("sleep", ["60"], 10)).toBeNull();
});

test("where no program can be started, that is told at once, and nothing is left to happen later", async () => {
  vi.useFakeTimers();
  await expect(askProgram(UNSTARTABLE, [], 1000)).rejects.toThrow("null bytes");
  expect(vi.getTimerCount()).toBe(0);
  expect(await checkDevice("0", UNSTARTABLE)).toMatchObject({ state: "unknown" });
});
