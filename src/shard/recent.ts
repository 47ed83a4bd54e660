/**
 * The predictions that a shard touched last, so that the three writes of a short life need no read; and those that produce output,
 * so that a chunk needs none: read back, it would cost all chunks before it.
 */
import { log, reasonOf } from "../telemetry/log.ts";
import type { Progress } from "./progress.ts";
import { isFinished } from "./row.ts";

/** Bounds what is kept: inline input is 16 KiB at most, output is not bounded here and is forgotten with its row's end. */
const MAX_ENTRIES = 64;
const MAX_PRODUCING = 1024;
/** Finished predictions with more output and logs than this are read again rather than remembered. */
export const MAX_KEPT_CHARS = 4096;

export type Recent = ReturnType<typeof createRecent>;

export function createRecent() {
  const entries = new Map<string, Progress>();
  const producing = new Map<string, Progress>();

  return {
    get(id: string): Progress | undefined {
      return producing.get(id) ?? entries.get(id);
    },

    /** The longest untouched one of its kind makes room, unless it holds frames that are not stored. */
    keep(progress: Progress): void {
      const { id, lastFrame, state } = progress.row;
      entries.delete(id);
      producing.delete(id);
      if (lastFrame > 0 && !isFinished(state)) add(producing, MAX_PRODUCING, progress);
      else add(entries, MAX_ENTRIES, progress);
    },

    forget(id: string): void {
      entries.delete(id);
      producing.delete(id);
    },

    /**
     * Runs what touches one prediction. What goes wrong with it stays its own: it is read again from its row the next time. Null when something did.
     */
    alone<T>(id: string, run: () => T): T | null {
      try {
        return run();
      } catch (error) {
        this.forget(id);
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

function add(kind: Map<string, Progress>, limit: number, progress: Progress): void {
  kind.set(progress.row.id, progress);
  if (kind.size <= limit) return;
  for (const [oldest, { frames }] of kind) {
    if (frames.length > 0) continue;
    kind.delete(oldest);
    return;
  }
}
