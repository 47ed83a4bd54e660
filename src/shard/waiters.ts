/** Who waits for a prediction: held requests, and readers of its stream; of one account no more than its share. */
import { createFairShare } from "../../plugins/kernel/fair-share.ts";
import type { Bound } from "../../plugins/kernel/fair-share.ts";
import type { ObjectTimers } from "../object-timers.ts";
import { createLagBudget } from "./lag-budget.ts";
import type { Page } from "./progress.ts";
import { createReader } from "./reader.ts";
import type { Pipe, Reader } from "./reader.ts";
import type { StreamFrame } from "./types.ts";

/** A reader that has left is noticed when something is written to it: a silent stream gets an empty line so often. */
const PROBE_MS = 15_000;

/** What is open at one shard, of all accounts, before one gets no more than its even share; twice its own, if more. */
const MAX_STREAMS = 2000;
const MAX_HELD = 20_000;

/** What one account may have open at one shard. */
export type WaiterLimits = { accountStreams: number; accountHeld: number };

const noLimits: WaiterLimits = { accountStreams: Infinity, accountHeld: Infinity };

export type Waiters = ReturnType<typeof createWaiters>;

/** `newPipe`: the platform's own, which moves bytes without running any script, unless a test brings another. */
export function createWaiters(
  timers: ObjectTimers,
  newPipe: () => Pipe = () => new IdentityTransformStream(),
  limits: WaiterLimits = noLimits,
) {
  const budget = createLagBudget();
  const held = createFairShare({
    total: Math.max(MAX_HELD, 2 * limits.accountHeld),
    perHolder: limits.accountHeld,
  });
  const streams = createFairShare({
    total: Math.max(MAX_STREAMS, 2 * limits.accountStreams),
    perHolder: limits.accountStreams,
  });
  const changes = new Map<string, Set<() => void>>();
  const readers = new Map<string, Set<Reader>>();
  /** All readers whose streams are not closed, also those that only have to take the rest. */
  const open = new Set<Reader>();
  let stopProbing: (() => void) | null = null;

  /** Lets go of readers who have left, or sleep. */
  function probe(): void {
    for (const reader of [...open]) reader.probe();
  }

  function watch(): void {
    if (open.size > 0) {
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
    /** Whether another request of the account may be held; one that may not is answered at once. */
    mayHold: (accountId: string): boolean => held.refusal(accountId, 1) === null,

    /** The bound that another stream of the account would pass: of streams, or of what waits for those that sleep. */
    streamRefusal: (accountId: string): Bound | null => streams.refusal(accountId, 1) ?? budget.passed(accountId),

    /** Resolves at the next change of `id`, or after `timeoutMs`. */
    change(id: string, timeoutMs: number, accountId = ""): Promise<void> {
      held.change(accountId, 1);
      return new Promise((resolve) => {
        const set = changes.get(id) ?? new Set();
        changes.set(id, set);
        const done = () => {
          giveUp();
          if (set.delete(done)) held.change(accountId, -1);
          if (set.size === 0) changes.delete(id);
          resolve();
        };
        const giveUp = timers.after(timeoutMs, done);
        set.add(done);
      });
    },

    /**
     * A stream of newline-delimited frames: those given, then those to come, until `completed`. It ends early when
     * there are `more` kept behind those given, and when its reader lags: who was cut comes back behind the last frame
     * that it got.
     */
    stream(id: string, { frames, more, finished }: Page, accountId = ""): ReadableStream<Uint8Array> {
      const set = readers.get(id) ?? new Set();
      const onGone = () => {
        if (!set.delete(reader)) return;
        if (set.size === 0) readers.delete(id);
      };
      // Until its client has read it, or left: one that is told nothing any more may still hold a piece.
      streams.change(accountId, 1);
      const onClosed = () => {
        streams.change(accountId, -1);
        open.delete(reader);
        watch();
      };
      const reader = createReader(newPipe(), { accountId, budget, onGone, onClosed });
      open.add(reader);
      watch();
      if (!finished && !more) {
        readers.set(id, set);
        set.add(reader);
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
