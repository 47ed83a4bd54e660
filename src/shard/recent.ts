/**
 * The predictions that a shard touched last, so that the three writes of a short life need no read; and those that
 * produce output, so that a chunk needs none: read back, it would cost all chunks before it.
 */
import { log, reasonOf } from "../telemetry/log.ts";
import type { Progress } from "./progress.ts";
import { isFinished } from "./row.ts";
import { MAX_SHOWN_CHARS } from "./sizes.ts";

/**
 * Bounds what is kept, in number and in what it says: output and logs that are shown may have half a million characters
 * each.
 */
const MAX_ENTRIES = 64;
const MAX_PRODUCING = 1024;
export const MAX_CHARS = 32 * 1024 * 1024;
/**
 * Frames that are not stored, of all predictions together: above it they are stored as they come, and not at their
 * time.
 */
export const MAX_UNSTORED_CHARS = 8 * 1024 * 1024;
/** What an entry takes besides what it says, about: inline input is 16 KiB at most. */
const ENTRY_CHARS = 4096;
/** Finished predictions with more output and logs than this are read again rather than remembered. */
export const MAX_KEPT_CHARS = 4096;

export type Recent = ReturnType<typeof createRecent>;

export function createRecent() {
  const entries = new Map<string, Progress>();
  const producing = new Map<string, Progress>();
  const weights = new Map<string, { chars: number; unstored: number }>();
  let chars = 0;
  let unstored = 0;

  function weigh({ row, chunkChars, logs, frameChars }: Progress): void {
    drop(row.id);
    const weight = {
      chars: ENTRY_CHARS + Math.min(chunkChars, MAX_SHOWN_CHARS) + logs.length + frameChars,
      unstored: frameChars,
    };
    weights.set(row.id, weight);
    chars += weight.chars;
    unstored += weight.unstored;
  }

  function drop(id: string): void {
    const weight = weights.get(id);
    if (weight === undefined) return;
    weights.delete(id);
    chars -= weight.chars;
    unstored -= weight.unstored;
  }

  function forget(id: string): void {
    entries.delete(id);
    producing.delete(id);
    drop(id);
  }

  /** The longest untouched one of its kind makes room, unless it holds frames that are not stored. Whether one did. */
  function makeRoom(kind: Map<string, Progress>): boolean {
    for (const [oldest, { frames }] of kind) {
      if (frames.length > 0) continue;
      forget(oldest);
      return true;
    }
    return false;
  }

  return {
    get(id: string): Progress | undefined {
      return producing.get(id) ?? entries.get(id);
    },

    /** What was touched longest ago makes room, unless it holds frames that are not stored. */
    keep(progress: Progress): void {
      const { id, lastFrame, state } = progress.row;
      entries.delete(id);
      producing.delete(id);
      const isProducing = lastFrame > 0 && !isFinished(state);
      const [kind, limit] = isProducing ? [producing, MAX_PRODUCING] : [entries, MAX_ENTRIES];
      if (kind.size >= limit) makeRoom(kind);
      kind.set(id, progress);
      weigh(progress);
      // Its own entry is the newest: the others go first.
      while (chars > MAX_CHARS && kind.size > 1 && (makeRoom(producing) || makeRoom(entries)));
    },

    /** What it holds has changed. */
    weigh(progress: Progress): void {
      if (weights.has(progress.row.id)) weigh(progress);
    },

    /** Whether frames must be stored before their time. */
    isHeavy: (): boolean => unstored > MAX_UNSTORED_CHARS,

    forget,

    /**
     * Runs what touches one prediction. What goes wrong with it stays its own: it is read again from its row the next
     * time. Null when something did.
     */
    alone<T>(id: string, run: () => T): T | null {
      try {
        return run();
      } catch (error) {
        forget(id);
        log.error("prediction_not_handled", { id, reason: reasonOf(error) });
        return null;
      }
    },

    /** Those with frames that are not stored. */
    *unstored(): Iterable<Progress> {
      for (const kind of [producing, entries]) {
        for (const progress of kind.values()) if (progress.frames.length > 0) yield progress;
      }
    },
  };
}
