/** A session goes on while the scaler is sick. */
import { expect, it, onTestFinished, vi } from "vitest";
import type { Env } from "../env.ts";
import { tellScaler } from "./machine-news.ts";

it("waits for a scaler that hangs no longer than its pool's welcome may, and tells it again later", async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const scaler = { pool: () => new Promise<never>(() => {}) };
  const env = { SCALER: { getByName: () => scaler } } as unknown as Pick<Env, "SCALER">;
  const identity = { lanes: ["default"], machine: "machine-1" } as unknown as Parameters<
    typeof tellScaler
  >[1]["identity"];
  const answers: boolean[] = [];
  void tellScaler(env, { session: "session-1", identity }, "connected", 1).then((isTold) => answers.push(isTold));
  await vi.advanceTimersByTimeAsync(5000);
  expect(answers).toEqual([false]);
});
