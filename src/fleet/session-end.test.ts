import { expect, it, onTestFinished, vi } from "vitest";
import { log } from "../telemetry/log.ts";
import { wereTold } from "./session-end.ts";

it("waits for no lane that never answers, and says so", async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const warned = vi.spyOn(log, "warn").mockImplementation(() => {});
  onTestFinished(() => warned.mockRestore());
  const told = wereTold(new Promise<never>(() => {}));
  await vi.advanceTimersByTimeAsync(8000);
  expect(await Promise.race([told, Promise.resolve(null)])).toBe(false);
  expect(warned.mock.calls.map(([event]) => event)).toEqual(["session_end_deferred"]);
  expect(await wereTold(Promise.resolve())).toBe(true);
});
