import { expect, it, onTestFinished, vi } from "vitest";
import type { PredictionSnapshot } from "../../contract/prediction.ts";
import type { AppContext, ShardPort } from "../app.ts";
import { holdUntilFinished } from "./held-answer.ts";
import type { WholeView } from "./view.ts";

it("gives up a reader that takes nothing of its answer", async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const warned = vi.spyOn(console, "warn").mockImplementation(() => {});
  onTestFinished(() => warned.mockRestore());
  const ends: string[] = [];
  const context = {
    env: {},
    get: () => "request",
    executionCtx: { waitUntil: (work: Promise<void>) => void work.then(() => ends.push("over")) },
    body: (readable: ReadableStream<Uint8Array>) => new Response(readable),
  } as unknown as AppContext;
  const accepted = { id: "prediction", accountId: "account", status: "succeeded" } as PredictionSnapshot;
  const view = { id: "prediction", output: "x".repeat(1000) };
  const show = async () => ({ view, large: {} }) as unknown as WholeView;
  const unread = holdUntilFinished(context, {} as ShardPort, accepted, 1000, show);
  await vi.advanceTimersByTimeAsync(119_000);
  expect(ends).toEqual([]);
  await vi.advanceTimersByTimeAsync(2000);
  expect(ends).toEqual(["over"]);
  await expect(unread.text()).rejects.toThrow("nobody reads this answer");
});
