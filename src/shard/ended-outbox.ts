/**
 * Ended predictions that are not all in the log yet, at two row writes per two seconds, however many end. The ended rows are the
 * outbox: each carries the number of its end (`endSeq`, in order), and one row says up to which number all were published. It
 * is marked when the first of a while ends, before that end is stored, and cleared once everything is out: only a shard that finds
 * the mark when it starts looks through its rows.
 */
import type { Row } from "./row.ts";
import type { Sql } from "./sql.ts";

/** Ends that are kept in memory; beyond that they are found in the rows again. */
const MAX_WAITING = 2000;
/** Published ends after which the mark says so, even while more wait. */
const NOTE_EVERY = 500;

type Ended = { id: string; seq: number };

/** `active` false: no topic is on, and nothing is noted. */
export function createEndedOutbox(sql: Sql, active: boolean) {
  sql(
    "CREATE TABLE IF NOT EXISTS ended_mark (one INTEGER PRIMARY KEY CHECK (one = 1), published INTEGER NOT NULL, pending INTEGER NOT NULL)",
  );
  const [mark] = sql("SELECT published, pending FROM ended_mark");
  let published = Number(mark?.["published"] ?? 0);
  let noted = published;
  let isMarked = mark?.["pending"] === 1;
  let last = published;
  let waiting: Ended[] = [];
  /** Whether rows hold ends that `waiting` doesn't. */
  let moreInRows = false;

  if (isMarked && active) refill();

  function note(pending: boolean): void {
    sql("INSERT OR REPLACE INTO ended_mark VALUES (1, ?, ?)", published, pending ? 1 : 0);
    noted = published;
    isMarked = pending;
  }

  function refill(): void {
    const rows = sql(
      `SELECT id, changing ->> 'endSeq' AS seq FROM prediction WHERE state NOT IN ('waiting', 'granted', 'running')
       AND changing ->> 'endSeq' > ? ORDER BY seq LIMIT ?`,
      published,
      MAX_WAITING,
    );
    waiting = rows.map((row) => ({ id: String(row["id"]), seq: Number(row["seq"]) }));
    last = Math.max(last, waiting.at(-1)?.seq ?? 0);
    if (rows.length === MAX_WAITING) {
      const [newest] = sql("SELECT MAX(changing ->> 'endSeq') AS seq FROM prediction");
      last = Math.max(last, Number(newest?.["seq"] ?? 0));
    }
    moreInRows = rows.length === MAX_WAITING;
  }

  return {
    /** The prediction has just ended; to be called before its row is stored. */
    add(row: Row): void {
      if (!active || row.endSeq !== null) return;
      last += 1;
      row.endSeq = last;
      if (!isMarked) note(true);
      if (moreInRows || waiting.length >= MAX_WAITING) moreInRows = true;
      else waiting.push({ id: row.id, seq: last });
    },

    /** The oldest ends that are not published, at most `limit`, in their order. */
    first(limit: number): readonly Ended[] {
      if (waiting.length === 0 && moreInRows) refill();
      return waiting.slice(0, limit);
    },

    /** All that `first` answered is in the log. */
    settle(ended: readonly Ended[]): void {
      waiting.splice(0, ended.length);
      published = ended.at(-1)?.seq ?? published;
      if (published - noted >= NOTE_EVERY) note(true);
    },

    isPending(): boolean {
      return waiting.length > 0 || moreInRows;
    },

    /** Whether the row's data must stay because its end is not published. */
    holds(row: Row): boolean {
      return active && row.endSeq !== null && row.endSeq > published;
    },

    /** From time to time: everything is out, so that a start need not look. */
    rest(): void {
      if (isMarked && !this.isPending()) note(false);
    },
  };
}
