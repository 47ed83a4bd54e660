/** The predictions that a shard touched last, so that the three writes of a short life need no read. */
import type { Progress } from "./progress.ts";

/** Bounds what is kept: inline input is 16 KiB at most, output is not bounded here and is forgotten with its row's end. */
const MAX_ENTRIES = 64;

export type Recent = ReturnType<typeof createRecent>;

export function createRecent() {
  const entries = new Map<string, Progress>();
  return {
    get(id: string): Progress | undefined {
      return entries.get(id);
    },

    /** The longest untouched one makes room, unless it holds frames that are not stored. */
    keep(progress: Progress): void {
      const { id } = progress.row;
      entries.delete(id);
      entries.set(id, progress);
      if (entries.size <= MAX_ENTRIES) return;
      for (const [oldest, { frames }] of entries) {
        if (frames.length > 0) continue;
        entries.delete(oldest);
        return;
      }
    },

    forget(id: string): void {
      entries.delete(id);
    },

    /** Those with frames that are not stored. */
    *unstored(): Iterable<Progress> {
      for (const progress of entries.values()) if (progress.frames.length > 0) yield progress;
    },
  };
}
