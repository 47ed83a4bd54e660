/** Who waits for a prediction: held requests, and readers of its stream. */
import type { ObjectTimers } from "../object-timers.ts";
import type { Page } from "./progress.ts";
import type { StreamFrame } from "./types.ts";

/** Bytes that a reader may lag behind before it is cut; it can come back with the id of its last event. */
const MAX_LAG_BYTES = 1024 * 1024;

/** A reader that has left is noticed when something is written to it: a silent stream gets an empty line so often. */
const PROBE_MS = 15_000;

export type Waiters = ReturnType<typeof createWaiters>;

export function createWaiters(timers: ObjectTimers) {
  const changes = new Map<string, Set<() => void>>();
  const readers = new Map<string, Set<(frames: readonly StreamFrame[]) => void>>();
  let stopProbing: (() => void) | null = null;

  /** Writes an empty line to all readers, so that those who have left are let go. */
  function probe(): void {
    for (const set of readers.values()) for (const push of [...set]) push([]);
  }

  function watch(): void {
    if (readers.size > 0) {
      stopProbing ??= timers.after(PROBE_MS, () => {
        stopProbing = null;
        probe();
        watch();
      });
    } else {
      stopProbing?.();
      stopProbing = null;
    }
  }

  return {
    /** Resolves at the next change of `id`, or after `timeoutMs`. */
    change(id: string, timeoutMs: number): Promise<void> {
      return new Promise((resolve) => {
        const set = changes.get(id) ?? new Set();
        changes.set(id, set);
        const done = () => {
          giveUp();
          set.delete(done);
          if (set.size === 0) changes.delete(id);
          resolve();
        };
        const giveUp = timers.after(timeoutMs, done);
        set.add(done);
      });
    },

    /**
     * A stream of newline-delimited frames: those given, then those to come, until `completed`. It ends early when there are `more` kept
     * behind those given, and when its reader lags: who was cut comes back behind the last frame that it got.
     */
    stream(id: string, { frames, more, finished }: Page): ReadableStream<Uint8Array> {
      const encoder = new TextEncoder();
      const set = readers.get(id) ?? new Set();
      let push: (frames: readonly StreamFrame[]) => void = () => {};
      const leave = () => {
        if (!set.delete(push)) return;
        if (set.size === 0) readers.delete(id);
        watch();
      };
      return new ReadableStream<Uint8Array>(
        {
          start(controller) {
            push = (batch) => {
              controller.enqueue(encoder.encode(batch.length === 0 ? "\n" : linesOf(batch)));
              if (more || batch.at(-1)?.type === "completed" || (controller.desiredSize ?? 1) <= 0) {
                leave();
                controller.close();
              }
            };
            if (!finished && !more) {
              readers.set(id, set);
              set.add(push);
              watch();
            }
            push(frames);
          },
          cancel: leave,
        },
        new ByteLengthQueuingStrategy({ highWaterMark: MAX_LAG_BYTES }),
      );
    },

    probe,

    /** How many streams are open. */
    readers(): number {
      let count = 0;
      for (const set of readers.values()) count += set.size;
      return count;
    },

    notify(id: string, frames: readonly StreamFrame[]): void {
      if (frames.length > 0) for (const push of [...(readers.get(id) ?? [])]) push(frames);
      for (const done of [...(changes.get(id) ?? [])]) done();
    },
  };
}

/** Newline-delimited JSON. */
function linesOf(frames: readonly StreamFrame[]): string {
  let lines = "";
  for (const frame of frames) lines += `${JSON.stringify(frame)}\n`;
  return lines;
}
