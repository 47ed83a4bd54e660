/** Who waits for a prediction: held requests, and readers of its stream. */
import type { ObjectTimers } from "../object-timers.ts";
import type { Page } from "./progress.ts";
import { createReader } from "./reader.ts";
import type { Pipe, Reader } from "./reader.ts";
import type { StreamFrame } from "./types.ts";

/** A reader that has left is noticed when something is written to it: a silent stream gets an empty line so often. */
const PROBE_MS = 15_000;

export type Waiters = ReturnType<typeof createWaiters>;

/** `newPipe`: the platform's own, which moves bytes without running any script, unless a test brings another. */
export function createWaiters(timers: ObjectTimers, newPipe: () => Pipe = () => new IdentityTransformStream()) {
  const changes = new Map<string, Set<() => void>>();
  const readers = new Map<string, Set<Reader>>();
  let stopProbing: (() => void) | null = null;

  /** Writes an empty line to all readers, so that those who have left are let go. */
  function probe(): void {
    for (const set of readers.values()) for (const reader of [...set]) reader.push([]);
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
      const set = readers.get(id) ?? new Set();
      const reader = createReader(newPipe(), () => {
        if (!set.delete(reader)) return;
        if (set.size === 0) readers.delete(id);
        watch();
      });
      if (!finished && !more) {
        readers.set(id, set);
        set.add(reader);
        watch();
      }
      reader.push(frames);
      if (more) reader.end();
      return reader.stream;
    },

    probe,

    /** Whether somebody waits for a change of `id`. */
    isAwaited: (id: string): boolean => changes.has(id),

    /** How many streams are open. */
    readers(): number {
      let count = 0;
      for (const set of readers.values()) count += set.size;
      return count;
    },

    notify(id: string, frames: readonly StreamFrame[]): void {
      if (frames.length > 0) for (const reader of [...(readers.get(id) ?? [])]) reader.push(frames);
      for (const done of [...(changes.get(id) ?? [])]) done();
    },
  };
}
