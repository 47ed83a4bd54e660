/**
 * Ended predictions that are not all in the log yet, at two row writes per two seconds, however many end. The ended
 * rows are the outbox: each carries the number of its end (`endSeq`, in order), and one row says up to which number all
 * were published. It is marked when the first of a while ends, before that end is stored, and cleared once everything
 * is out: only a shard that finds the mark when it starts looks through its rows, a page at a time, and publishes when
 * it has seen all of them. The mark also says up to which number ends may have come by then.
 */
import type { Row } from "./row.ts";
import type { Sql } from "./sql.ts";
import { PAGE_ROWS } from "./store.ts";

/** Ends that are kept in memory; beyond that they are found in the rows again. */
const MAX_WAITING = 2000;
/** Published ends after which the mark says so, even while more wait. */
const NOTE_EVERY = 500;

/** Numbers that a mark covers beyond the last that was given. */
const RESERVED = 100_000;
/** As many as can have been given under a mark that doesn't say how many it covers. */
const UNKNOWN_RESERVED = 1_000_000_000;

type Ended = { id: string; seq: number };
/** A search through the rows: `found` has the oldest ends so far, `fresh` what ended since it began. */
type Search = { after: string; found: Ended[]; fresh: Ended[]; isCut: boolean };

/** `active` false: no topic is on, and nothing is noted. */
export function createEndedOutbox(sql: Sql, active: boolean) {
  const [mark] = sql("SELECT published, pending, reserved FROM ended_mark");
  let published = Number(mark?.["published"] ?? 0);
  let noted = published;
  let isMarked = mark?.["pending"] === 1;
  let reserved = isMarked ? Number(mark?.["reserved"] ?? published + UNKNOWN_RESERVED) : published;
  /** The last number that was given, or may have been. */
  let last = reserved;
  let waiting: Ended[] = [];
  /** Whether rows hold ends that `waiting` doesn't. */
  let moreInRows = isMarked && active;
  let search: Search | null = null;

  function note(pending: boolean): void {
    reserved = last + (pending ? RESERVED : 0);
    sql("INSERT OR REPLACE INTO ended_mark VALUES (1, ?, ?, ?)", published, pending ? 1 : 0, reserved);
    noted = published;
    isMarked = pending;
  }

  /** Looks through the next page of rows for the oldest ends that are not published. */
  function look({ after, found, fresh, isCut }: Search): void {
    const page = sql(
      "SELECT id, state, changing ->> 'endSeq' AS seq FROM prediction WHERE id > ? ORDER BY id LIMIT ?",
      after,
      PAGE_ROWS,
    );
    const ended = page
      .filter(({ seq }) => seq !== null && Number(seq) > published)
      .map(({ id, seq }) => ({ id: String(id), seq: Number(seq) }));
    // What ended since the search began is in `fresh`.
    const since = fresh[0]?.seq ?? Infinity;
    const all = [...found, ...ended.filter(({ seq }) => seq < since)].toSorted((a, b) => a.seq - b.seq);
    const kept = all.slice(0, MAX_WAITING);
    const hasCut = isCut || kept.length < all.length;
    search = { after: String(page.at(-1)?.["id"] ?? after), found: kept, fresh, isCut: hasCut };
    if (page.length === PAGE_ROWS) return;
    search = null;
    waiting = hasCut ? kept : [...kept, ...fresh];
    moreInRows = hasCut || moreInRows;
  }

  return {
    /** The prediction has just ended; to be called before its row is stored. */
    add(row: Row): void {
      if (!active || row.endSeq !== null) return;
      last += 1;
      row.endSeq = last;
      if (!isMarked || last >= reserved) note(true);
      const list = search?.fresh ?? waiting;
      if (moreInRows || list.length >= MAX_WAITING) moreInRows = true;
      else list.push({ id: row.id, seq: last });
    },

    /**
     * The oldest ends that are not published, at most `limit`, in their order. None while rows are looked through: each
     * call goes on with that.
     */
    first(limit: number): readonly Ended[] {
      if (search === null && waiting.length === 0 && moreInRows) {
        search = { after: "", found: [], fresh: [], isCut: false };
        moreInRows = false;
      }
      if (search !== null) look(search);
      return search === null ? waiting.slice(0, limit) : [];
    },

    isSearching: () => search !== null,

    /** All that `first` answered is in the log. */
    settle(ended: readonly Ended[]): void {
      waiting.splice(0, ended.length);
      published = ended.at(-1)?.seq ?? published;
      if (published - noted >= NOTE_EVERY) note(true);
    },

    isPending(): boolean {
      return waiting.length > 0 || moreInRows || search !== null;
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
