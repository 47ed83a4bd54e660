import { expect, it, onTestFinished, vi } from "vitest";
import { newPredictionId } from "../contract/ids.ts";
import type { Env } from "../env.ts";
import { replayDeadLetter } from "./replay.ts";
import type { ChargeReplay } from "./replay.ts";

const uncharged: ChargeReplay = () => Promise.resolve({ submission: {}, undo: () => {} });

it.each(["fails", "hangs"])("leaves a dead letter whose shard %s for later, and keeps back no other", async (sick) => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const warned = vi.spyOn(console, "error").mockImplementation(() => {});
  onTestFinished(() => warned.mockRestore());
  const replayable = () => (sick === "hangs" ? new Promise(() => {}) : Promise.reject(new Error("the shard is sick")));
  const env = { SHARD_COUNT: "1", SHARD: { getByName: () => ({ replayable }) } } as unknown as Env;
  const id = newPredictionId(1);
  const answers: unknown[] = [];
  const answered = (answer: unknown): unknown => answers.push(answer);
  void replayDeadLetter(env, id, uncharged).then(answered, answered);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(answers).toMatchObject([{ id, outcome: "refused", code: "unavailable" }]);
});
