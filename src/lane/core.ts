/**
 * The lane without its object: what waits, in order, and how much of it may be in the log. Synchronous; the clock is injected.
 *
 * ```
 * offered ──room, nobody ahead──▶ leaving ──produced──▶ released ──claimed──▶ gone
 *    └──────▶ waiting (a row) ──its turn──▶ leaving
 * ```
 *
 * Only what waits is stored. What is released is in the log, and its shard hands it on again if nobody claims it: that count is a
 * matter of memory, and old entries leave it by themselves.
 */
import { priorities } from "../contract/prediction.ts";
import type { Priority } from "../contract/prediction.ts";
import type { Sql } from "../shard/sql.ts";
import { nextPriority, noTurns } from "./order.ts";
import { createRate } from "./rate.ts";
import type { LaneEntry, LaneStats, PoolCapacity } from "./types.ts";

/** The window while no pool is known, and the least it ever is. */
const MIN_WINDOW = 64;
/** Jobs in the log per batch that the pools can hold. */
const WINDOW_BATCHES = 4;
/** A released job that nobody claimed for this long no longer counts: its shard's sweep sees to it. */
const RELEASED_MAX_AGE_MS = 25_000;

type Waiting = { ticket: number; entry: LaneEntry };

export class LaneCore {
  readonly #sql: Sql;
  readonly #now: () => number;
  readonly #minWindow: number;
  readonly #turns = noTurns();
  readonly #rate = createRate();
  readonly #released = new Map<string, { at: number; entry: LaneEntry }>();
  readonly #leaving = new Map<string, LaneEntry>();
  readonly #heads: Record<Priority, number> = { high: 1, normal: 1, low: 1 };
  readonly #tails: Record<Priority, number> = { high: 1, normal: 1, low: 1 };
  readonly #waiting: Record<Priority, number> = { high: 0, normal: 0, low: 0 };
  #capacity = 0;
  #pools = 0;

  constructor(sql: Sql, now: () => number, minWindow = MIN_WINDOW) {
    this.#sql = sql;
    this.#now = now;
    this.#minWindow = minWindow;
    sql(
      "CREATE TABLE IF NOT EXISTS entry (priority TEXT NOT NULL, ticket INTEGER NOT NULL, id TEXT NOT NULL, entry TEXT NOT NULL, PRIMARY KEY (priority, ticket)) WITHOUT ROWID",
    );
    sql("CREATE UNIQUE INDEX IF NOT EXISTS entry_id ON entry (id)");
    sql(
      "CREATE TABLE IF NOT EXISTS pool (session TEXT PRIMARY KEY, slots INTEGER NOT NULL, max_batch_size INTEGER NOT NULL) WITHOUT ROWID",
    );
    for (const row of sql(
      "SELECT priority, COUNT(*) AS count, MIN(ticket) AS head, MAX(ticket) AS tail FROM entry GROUP BY priority",
    )) {
      const priority = priorities.find((name) => name === row["priority"]);
      if (priority === undefined) continue;
      this.#waiting[priority] = Number(row["count"]);
      this.#heads[priority] = Number(row["head"]);
      this.#tails[priority] = Number(row["tail"]) + 1;
    }
    this.#measurePools();
  }

  /** Takes what shards hand on; the tickets of what waits, null for what leaves at once. Known ids keep their places. */
  offer(entries: readonly LaneEntry[]): Record<string, number | null> {
    const tickets: Record<string, number | null> = {};
    const stored = this.#ticketsOf(entries.map(({ id }) => id));
    for (const entry of entries) {
      const { id } = entry;
      const released = this.#released.get(id);
      const isOnItsWay = this.#leaving.has(id) || (released !== undefined && this.#isRecent(released.at));
      if (isOnItsWay && !entry.front) tickets[id] = null;
      else if (stored.has(id)) tickets[id] = stored.get(id) ?? null;
      else if (entry.front || (this.room() > 0 && !this.hasWaiting())) {
        this.#leaving.set(id, entry);
        tickets[id] = null;
      } else tickets[id] = this.#store(entry);
    }
    return tickets;
  }

  /** Ids that wait no longer. */
  withdraw(ids: readonly string[]): void {
    for (const id of ids) {
      this.#released.delete(id);
      this.#leaving.delete(id);
    }
    if (this.hasWaiting()) this.#removeRows(ids);
  }

  /** Ids that were claimed: their room is free, and the rate counts them. */
  claimed(ids: readonly string[]): void {
    if (ids.length === 0) return;
    this.#rate.mark(ids.length, this.#now());
    this.withdraw(ids);
  }

  /** Moves what has its turn, as far as there is room, to what leaves; returns all that leaves and is not on its way yet. */
  fill(): LaneEntry[] {
    const room = this.room();
    if (room > 0 && this.hasWaiting()) {
      const picked = this.#pick(room);
      for (const { entry } of picked) this.#leaving.set(entry.id, entry);
    }
    return [...this.#leaving.values()];
  }

  /** The log has these. Their rows, if they waited, go. */
  produced(entries: readonly LaneEntry[]): void {
    const now = this.#now();
    for (const entry of entries) {
      // What was claimed or withdrawn while it was on its way holds no room.
      if (this.#leaving.delete(entry.id)) this.#released.set(entry.id, { at: now, entry });
    }
    this.#removeRows(entries.map(({ id }) => id));
  }

  /** The log could not be reached: what was leaving and is not stored waits in front of everything. */
  keep(): void {
    const entries = [...this.#leaving.values()];
    this.#leaving.clear();
    const stored = this.#ticketsOf(entries.map(({ id }) => id));
    for (const entry of entries.toReversed()) {
      if (stored.has(entry.id)) continue;
      const { priority } = entry;
      this.#heads[priority] -= 1;
      this.#insert(entry, this.#heads[priority]);
    }
  }

  /** The log is another one now: what is in the old one and not claimed leaves again. Answers how many do. */
  releaseAgain(): number {
    this.expire();
    for (const [id, { entry }] of this.#released) this.#leaving.set(id, entry);
    const count = this.#released.size;
    this.#released.clear();
    return count;
  }

  setPool({ session, slots, maxBatchSize }: PoolCapacity): void {
    if (slots === 0) this.#sql("DELETE FROM pool WHERE session = ?", session);
    else this.#sql("INSERT OR REPLACE INTO pool VALUES (?, ?, ?)", session, slots, maxBatchSize);
    this.#measurePools();
  }

  sessions(): string[] {
    return this.#sql("SELECT session FROM pool").map((row) => String(row["session"]));
  }

  hasWaiting(): boolean {
    return this.#waiting.high + this.#waiting.normal + this.#waiting.low > 0;
  }

  room(): number {
    return this.#window() - this.#released.size - this.#leaving.size;
  }

  /** Forgets released jobs whose shards have taken them back into their care. */
  expire(): void {
    for (const [id, { at }] of this.#released) if (!this.#isRecent(at)) this.#released.delete(id);
  }

  stats(): LaneStats {
    return {
      heads: { ...this.#heads },
      tails: { ...this.#tails },
      released: this.#released.size + this.#leaving.size,
      window: this.#window(),
      ratePerSecond: this.#rate.perSecond(this.#now()),
      pools: this.#pools,
    };
  }

  #window(): number {
    return Math.max(this.#minWindow, WINDOW_BATCHES * this.#capacity);
  }

  #isRecent(releasedAt: number): boolean {
    return this.#now() - releasedAt < RELEASED_MAX_AGE_MS;
  }

  #measurePools(): void {
    const [row] = this.#sql("SELECT COUNT(*) AS pools, SUM(slots * max_batch_size) AS capacity FROM pool");
    this.#pools = Number(row?.["pools"] ?? 0);
    this.#capacity = Number(row?.["capacity"] ?? 0);
  }

  #store(entry: LaneEntry): number {
    const ticket = this.#tails[entry.priority];
    this.#tails[entry.priority] += 1;
    this.#insert(entry, ticket);
    return ticket;
  }

  #insert(entry: LaneEntry, ticket: number): void {
    this.#sql("INSERT INTO entry VALUES (?, ?, ?, ?)", entry.priority, ticket, entry.id, JSON.stringify(entry));
    this.#waiting[entry.priority] += 1;
  }

  #ticketsOf(ids: readonly string[]): Map<string, number> {
    if (!this.hasWaiting()) return new Map();
    const rows = this.#sql(
      "SELECT id, ticket FROM entry WHERE id IN (SELECT value FROM json_each(?))",
      JSON.stringify(ids),
    );
    return new Map(rows.map((row) => [String(row["id"]), Number(row["ticket"])]));
  }

  #removeRows(ids: readonly string[]): void {
    if (!this.hasWaiting()) return;
    const removed = this.#sql(
      "DELETE FROM entry WHERE id IN (SELECT value FROM json_each(?)) RETURNING priority, ticket",
      JSON.stringify(ids),
    );
    for (const row of removed) {
      const priority = priorities.find((name) => name === row["priority"]);
      if (priority === undefined) continue;
      this.#waiting[priority] -= 1;
      if (Number(row["ticket"]) === this.#heads[priority]) this.#moveHead(priority);
    }
  }

  #moveHead(priority: Priority): void {
    const [row] = this.#sql("SELECT MIN(ticket) AS head FROM entry WHERE priority = ?", priority);
    const head = row?.["head"];
    this.#heads[priority] = head === null || head === undefined ? this.#tails[priority] : Number(head);
  }

  /** Up to `room` waiting entries in the order in which they leave, those already leaving passed over. */
  #pick(room: number): Waiting[] {
    const shares: Record<Priority, number> = { high: 0, normal: 0, low: 0 };
    const left = { ...this.#waiting };
    const stored = this.#ticketsOf([...this.#leaving.keys()]);
    for (const { id, priority } of this.#leaving.values()) if (stored.has(id)) left[priority] -= 1;
    for (let picked = 0; picked < room; picked += 1) {
      const priority = nextPriority(this.#turns, left);
      if (priority === null) break;
      shares[priority] += 1;
      left[priority] -= 1;
    }
    return priorities.flatMap((priority) => this.#first(priority, shares[priority]));
  }

  #first(priority: Priority, count: number): Waiting[] {
    if (count === 0) return [];
    const rows = this.#sql(
      "SELECT ticket, entry FROM entry WHERE priority = ? AND ticket >= ? ORDER BY ticket LIMIT ?",
      priority,
      this.#heads[priority],
      count + this.#leaving.size,
    );
    const found: Waiting[] = [];
    for (const row of rows) {
      // Entries are written by `#insert` alone.
      const entry = JSON.parse(String(row["entry"])) as LaneEntry;
      if (!this.#leaving.has(entry.id) && found.length < count) found.push({ ticket: Number(row["ticket"]), entry });
    }
    return found;
  }
}
