/**
 * Rows that are granted as they are accepted, and are not in the index of what falls due. Most end before anything
 * would be due of them: their entry in the index would be written twice for nothing. Memory says when they are due; the
 * first look at one, 1.5 s after its acceptance, or any other write of it, lists it in the index.
 *
 * What memory knows is found again by one stored mark, from which id on such rows may lie: ids are in the order of
 * their time, and the mark follows it, so that a start that finds one looks through the predictions of some seconds, a
 * page at a time. A shard that is not busy lists all, as the mark's own writes would cost it more.
 */
import { leastIdOf, mintedAt } from "../contract/ids.ts";
import type { Row } from "./row.ts";
import type { Rules } from "./rules.ts";
import type { Sql } from "./sql.ts";

/** Rows that a start looks through in one go. */
const PAGE_ROWS = 1000;
/** How far the mark may lag behind. */
const MOVE_EVERY_MS = 10_000;
/** How long after its id was made a prediction may come and still be left out. */
const LATE_MS = 1000;
/** A mark covers ids of so long: beside them hardly any that a client's key made. */
const SPAN_MS = 86_400_000;

export type Unlisted = ReturnType<typeof createUnlisted>;

export function createUnlisted(sql: Sql, { rules, now }: { rules: Rules; now: () => number }) {
  const wakes = new Map<string, number>();
  /** The ids that the mark covers: from `since` on, and before `end`. */
  let mark: { since: string; end: string } | null = null;
  let movedAt = now();
  let recent = 0;

  function cover(since: string): void {
    mark = { since, end: leastIdOf(since, mintedAt(since) + SPAN_MS) };
  }

  function move(since: string): void {
    sql("INSERT OR REPLACE INTO unlisted VALUES (1, ?)", since);
    movedAt = now();
    cover(since);
  }

  const [stored] = sql("SELECT since FROM unlisted");
  if (stored !== undefined) cover(String(stored["since"]));
  /** Behind which id a start looks on for what it has left unlisted; null: it has seen all. */
  let after = stored === undefined ? null : String(stored["since"]);

  return {
    /** Whether a row that is granted as it is accepted may be left out. */
    mayLeaveOut({ id, fixed }: Row): boolean {
      if (fixed.keyed) return false;
      recent += 1;
      if (mark === null && recent >= rules.unlistedFrom) move(leastIdOf(id, mintedAt(id) - LATE_MS));
      return mark !== null && id >= mark.since && id < mark.end;
    },

    /** The row is stored, and not in the index. */
    add({ id, wakeAt }: Row): void {
      if (wakeAt !== null) wakes.set(id, wakeAt);
    },

    has: (id: string): boolean => wakes.has(id),

    /** Its row says now when it is due. */
    listed(id: string): void {
      wakes.delete(id);
    },

    due: (at: number, limit: number): string[] =>
      [...wakes]
        .filter(([, wakeAt]) => wakeAt <= at)
        .slice(0, limit)
        .map(([id]) => id),

    nextAt(): number | null {
      let next: number | null = null;
      for (const at of wakes.values()) next = Math.min(next ?? Infinity, at);
      return next;
    },

    isSearching: (): boolean => after !== null,

    /** After a start: what of the next page is unlisted, and has no memory that knows of it. */
    lost(): string[] {
      if (after === null || mark === null) return [];
      const page = sql(
        "SELECT id, wake_at FROM prediction WHERE id > ? AND id < ? ORDER BY id LIMIT ?",
        after,
        mark.end,
        PAGE_ROWS,
      );
      after = page.length < PAGE_ROWS ? null : String(page.at(-1)?.["id"]);
      return page.flatMap(({ id, wake_at: wakeAt }) => (wakeAt === null && !wakes.has(String(id)) ? [String(id)] : []));
    },

    /** From time to time: the mark follows the oldest unlisted row, and goes when there is none for a while. */
    rest(): void {
      const isUsed = recent > 0 || wakes.size > 0;
      recent = 0;
      if (mark === null || after !== null) return;
      if (!isUsed) {
        sql("DELETE FROM unlisted");
        mark = null;
      } else if (now() - movedAt >= MOVE_EVERY_MS) {
        let oldest = now() - LATE_MS;
        for (const id of wakes.keys()) oldest = Math.min(oldest, mintedAt(id));
        move(leastIdOf(mark.since, oldest));
      }
    },
  };
}
