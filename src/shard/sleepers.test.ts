/** Readers of streams who keep their connection and take nothing: what they hold is taken back. */
import { expect, it, onTestFinished, vi } from "vitest";
import { createObjectTimers } from "../object-timers.ts";
import type { StreamFrame } from "./types.ts";
import { createWaiters } from "./waiters.ts";
import type { WaiterLimits } from "./waiters.ts";

const newPipe = () => new TransformStream<Uint8Array, Uint8Array>(undefined, undefined, { highWaterMark: 0 });
const page = { frames: [], more: false, finished: false };
const frame = (seq: number, chars: number): StreamFrame => ({ seq, type: "output", data: "x".repeat(chars) });

function setUp(limits?: WaiterLimits) {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const timers = createObjectTimers();
  const after = vi.spyOn(timers, "after");
  return { ...createWaiters(timers, newPipe, limits), probes: () => after.mock.calls.length };
}

it("gives up readers that take nothing for two minutes, and lets their account read on", async () => {
  const waiters = setUp();
  // A piece of each is on its way, together more than the account may have: none of it waits, so that none is cut.
  const start = { ...page, frames: [frame(1, 1_040_000)] };
  for (let index = 0; index < 9; index += 1) waiters.stream(`sleeps-${index}`, start, "a");
  expect(waiters.streamRefusal("a")).toBe("own");
  await vi.advanceTimersByTimeAsync(121_000);
  expect(waiters.streamRefusal("a")).toBeNull();
  const reader = waiters.stream("p", page, "a").getReader();
  for (let seq = 1; seq <= 3; seq += 1) {
    waiters.notify("p", [frame(seq, 80_000)]);
    for (let text = ""; !text.includes(`"seq":${seq},`);) text = new TextDecoder().decode((await reader.read()).value);
  }
  expect(waiters.readers()).toBe(1);
  await reader.cancel();
  await vi.advanceTimersByTimeAsync(16_000);
  const probes = waiters.probes();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(waiters.probes()).toBe(probes);
});

it("counts those no more as open that take nothing, or only the end, for two minutes", async () => {
  const waiters = setUp({ accountStreams: 4, accountHeld: 10 });
  const ended = { frames: [{ seq: 1, type: "completed", data: null } as const], more: false, finished: true };
  for (const start of [page, ended]) {
    for (let count = 0; count < 4; count += 1) waiters.stream("p", start, "a");
    expect(waiters.streamRefusal("a")).toBe("own");
    await vi.advanceTimersByTimeAsync(121_000);
    expect(waiters.streamRefusal("a")).toBeNull();
  }
  const readers = Array.from({ length: 4 }, () => waiters.stream("p", ended, "a").getReader());
  // They take the piece, and not the end behind it.
  await Promise.all(readers.map((reader) => reader.read()));
  await vi.advanceTimersByTimeAsync(121_000);
  expect(waiters.streamRefusal("a")).toBeNull();
});

it("leaves one alone that takes a piece a minute", async () => {
  const waiters = setUp();
  const reader = waiters.stream("p", page, "a").getReader();
  await reader.read();
  waiters.notify(
    "p",
    Array.from({ length: 6 }, (_, index) => frame(index + 1, 60_000)),
  );
  for (let seq = 1; seq <= 6; seq += 1) {
    await vi.advanceTimersByTimeAsync(60_000);
    const { value } = await reader.read();
    expect(new TextDecoder().decode(value)).toContain(`"seq":${seq},`);
  }
  await reader.cancel();
});
