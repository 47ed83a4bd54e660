/**
 * The object of one subject: its book, and what of it is stored. Windows are stored before what was granted is told;
 * what reservations hold within `SLOTS_MS`, and the answer to who ends one waits for it.
 */
import { DurableObject } from "cloudflare:workers";
import type { Env } from "../env.ts";
import { createObjectTimers } from "../object-timers.ts";
import { objectSql } from "../shard/object-sql.ts";
import { createBook } from "./book.ts";
import type { Book } from "./book.ts";
import { createRows } from "./rows.ts";
import type { Group, GroupAnswer, Settlement } from "./types.ts";

/** How often what is held is stored while it changes, and by how much later for each that is held. */
const SLOTS_MS = 500;
const MS_A_SLOT = 0.1;
/**
 * What was written ahead is written as it is once nothing has changed for so long; the platform forgets it after 10 s.
 */
const REST_MS = 6000;
/** How often what is over is looked for, as long as anything is left. */
const CLEAN_MS = 3_600_000;

export class Allowance extends DurableObject<Env> {
  /** Tests rest sooner. */
  restMs = REST_MS;
  readonly #timers = createObjectTimers();
  readonly #rows;
  readonly #book: Book;
  #nextWrite: PromiseWithResolvers<void> | null = null;
  #alarmIsSet: boolean;
  #changedAt = 0;
  #looksForRest = false;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#rows = createRows(objectSql(ctx.storage));
    const stored = this.#rows.read();
    this.#book = createBook(stored);
    this.#alarmIsSet = stored.buckets.length + stored.slots.length > 0;
  }

  take(groups: Group[]): GroupAnswer[] {
    this.#restLater();
    const answers = this.#book.take(groups, Date.now());
    this.#store();
    const holds = groups.some(({ asks }) => asks.some(({ spec, held }) => held || spec.algorithm === "concurrency"));
    if (holds) void this.#slotsStored();
    return answers;
  }

  async settle(settlements: Settlement[]): Promise<void> {
    this.#restLater();
    const changed = this.#book.settle(settlements, Date.now());
    this.#store();
    if (changed) await this.#slotsStored();
  }

  override async alarm(): Promise<void> {
    const { gone, left } = this.#book.forget(Date.now());
    if (left === 0) {
      this.#rows.forgetSchema();
      this.#alarmIsSet = false;
      await this.ctx.storage.deleteAll();
      return;
    }
    this.#rows.remove(gone);
    await this.ctx.storage.setAlarm(Date.now() + CLEAN_MS);
  }

  #store(): void {
    const rows = this.#book.takeUnwritten();
    if (rows.length === 0) return;
    this.#rows.writeBuckets(rows);
    this.#armAlarm();
  }

  #restLater(): void {
    this.#changedAt = Date.now();
    if (this.#looksForRest) return;
    this.#looksForRest = true;
    this.#lookForRest(this.restMs);
  }

  #lookForRest(afterMs: number): void {
    this.#timers.after(afterMs, () => {
      const leftMs = this.#changedAt + this.restMs - Date.now();
      if (leftMs > 0 && leftMs <= this.restMs) {
        this.#lookForRest(leftMs);
        return;
      }
      this.#looksForRest = false;
      this.#rows.writeBuckets(this.#book.takeInexact(Date.now()));
    });
  }

  /** Resolves when what is held now has been stored. */
  #slotsStored(): Promise<void> {
    if (this.#nextWrite !== null) return this.#nextWrite.promise;
    const write = Promise.withResolvers<void>();
    this.#nextWrite = write;
    this.#timers.after(SLOTS_MS + MS_A_SLOT * this.#book.held(), () => {
      this.#nextWrite = null;
      this.#rows.writeSlots(this.#book.slots());
      this.#armAlarm();
      write.resolve();
    });
    return write.promise;
  }

  #armAlarm(): void {
    if (this.#alarmIsSet) return;
    this.#alarmIsSet = true;
    void this.ctx.storage.setAlarm(Date.now() + CLEAN_MS);
  }
}
