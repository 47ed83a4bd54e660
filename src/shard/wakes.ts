/**
 * When rows are looked at: what the index of what falls due says, and what memory knows of those that are not in it.
 */
import type { Row } from "./row.ts";
import type { Store } from "./store.ts";
import type { Unlisted } from "./unlisted.ts";

export function createWakes(store: Store, unlisted: Unlisted) {
  let earliest: number | null = null;

  return {
    /** A row was stored that wants to be looked at then. */
    note({ wakeAt }: Pick<Row, "wakeAt">): void {
      if (wakeAt !== null) earliest = Math.min(earliest ?? Infinity, wakeAt);
    },

    /** The earliest time that was noted since the last call. */
    takeEarliest(): number | null {
      const taken = earliest;
      earliest = null;
      return taken;
    },

    /** Whether a start still looks for rows that it has to watch. */
    isSearching: (): boolean => unlisted.isSearching(),

    /**
     * Ids of rows on which something is due at `now`; when there are as many as `limit` or more, there may be others.
     */
    due: (now: number, limit: number): string[] => [...store.due(now, limit), ...unlisted.due(now, limit)],

    nextAt(): number | null {
      const times = [store.nextWakeAt(), unlisted.nextAt()].filter((at) => at !== null);
      return times.length === 0 ? null : Math.min(...times);
    },
  };
}
