/**
 * The meter of one account, and of what is charged to nobody (`overhead`): takes usage records from shards and pool
 * sessions, each once, keeps their sums, publishes them, and stores them as objects. What comes within a moment is
 * stored in one transaction, so that an account whose predictions are spread over many shards costs no more writes.
 * One more of the class keeps what all of them add up to (`totals.ts`).
 */
import { DurableObject } from "cloudflare:workers";
import type { Env } from "../env.ts";
import { readPublishSettings } from "../log/publish-settings.ts";
import { isEmpty, openSchema } from "../object-schema.ts";
import { callObject, objectNamed } from "../object-calls.ts";
import { createObjectTimers } from "../object-timers.ts";
import type { Charged } from "../registry/charged-deployment.ts";
import { objectSql } from "../shard/object-sql.ts";
import type { Sql } from "../shard/sql.ts";
import { within } from "../shard/within.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import { DAY_MS, keptFrom } from "./calendar.ts";
import { createMeterRows, meterSchema } from "./meter-rows.ts";
import type { MeterRows } from "./meter-rows.ts";
import { publishUsage } from "./publish-usage.ts";
import { RentHistory } from "./rent-history.ts";
import { storeRaw, sweepRaw } from "./raw-objects.ts";
import { takeBatches } from "./take.ts";
import type { Batch } from "./take.ts";
import { ALL_ACCOUNTS, partsOf, takeParts } from "./totals.ts";
import type { Part, RemoteTotals } from "./totals.ts";
import { queryUsage } from "./usage-query.ts";
import type { UsagePage, UsageRequest } from "./usage-query.ts";

/** How long batches are gathered: from one sequence, and while several bring some. Nobody waits for them. */
const GATHER_MS = 50;
const BUSY_GATHER_MS = 1000;
/** Records that are gathered at most. */
const MAX_GATHERED = 5000;
/** How long records wait to be stored as an object, unless there are many. */
const STORE_EVERY_MS = 600_000;
const MANY_CHARS = 4 * 1024 * 1024;
/** How soon an alarm looks after what could not leave; while that fails, later each time. */
const WATCH_MS = 5000;
const AWAY_MS = 60_000;
/** How long all accounts' object may take: the alarm, which also publishes again, waits for it. */
const TOTALS_LIMIT_MS = 10_000;
/** How often it is looked for what is no longer kept. */
const SWEEP_MS = 7 * DAY_MS;

type Waiting = { account: string; batch: Batch; stored: PromiseWithResolvers<void> };

export class UsageMeter extends DurableObject<Env> {
  readonly #sql: Sql;
  readonly #rows: MeterRows;
  readonly #timers = createObjectTimers();
  readonly #publishes: boolean;
  readonly #rents: RentHistory;
  #isOpen: boolean;
  #waiting: Waiting[] = [];
  #gathered = 0;
  #sources = 1;
  #alarmAt: number | null = null;
  /** When what waits is to be stored as an object; null: what waits is from before this start. */
  #storeAt: number | null = null;
  #publishing: Promise<void> | null = null;
  /** Alarms in a row that failed. */
  #failures = 0;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#sql = objectSql(ctx.storage);
    this.#rows = createMeterRows(this.#sql);
    this.#isOpen = !isEmpty(this.#sql);
    this.#rents = new RentHistory(env);
    const { topics, usageEvents } = readPublishSettings(env);
    this.#publishes = topics.has("usage") && usageEvents === true;
    void ctx.blockConcurrencyWhile(async () => {
      this.#alarmAt = await ctx.storage.getAlarm();
    });
  }

  /** Takes records of an account, each once however often it is sent. Answers when they are stored. */
  take(account: string, batch: Batch): Promise<void> {
    const stored = Promise.withResolvers<void>();
    this.#waiting.push({ account, batch, stored });
    this.#gathered += batch.records.length;
    if (this.#gathered >= MAX_GATHERED) this.#store();
    else if (this.#waiting.length === 1)
      this.#timers.after(this.#sources > 1 ? BUSY_GATHER_MS : GATHER_MS, () => this.#store());
    return stored.promise;
  }

  /** Of the object of all accounts together: takes what an account's meter tells, each part once. */
  async takeTotals(account: string, parts: readonly Part[]): Promise<void> {
    const now = Date.now();
    const rentsAt = await this.#rents.since(Math.min(...parts.map(({ n }) => n)));
    try {
      this.ctx.storage.transactionSync(() => {
        if (!this.#isOpen) openSchema(this.#sql, meterSchema);
        this.#isOpen = true;
        takeParts(this.#rows, account, parts, { now, rentsAt });
      });
    } catch (error) {
      this.#isOpen = !isEmpty(this.#sql);
      throw error;
    }
    this.#arm(now + SWEEP_MS);
  }

  /**
   * Of the object of what is charged to nobody: who is charged for what a pool session tells from number `first` on.
   * Answers what it was asked for when the session told that first, however often it tells it.
   */
  decide(source: string, first: number, wished: readonly (Charged | null)[]): (Charged | null)[] {
    const now = Date.now();
    try {
      const charged = this.ctx.storage.transactionSync(() => {
        if (!this.#isOpen) openSchema(this.#sql, meterSchema);
        this.#isOpen = true;
        return this.#rows.decide(source, first, wished, now);
      });
      this.#arm(now + SWEEP_MS);
      return charged;
    } catch (error) {
      this.#isOpen = !isEmpty(this.#sql);
      throw error;
    }
  }

  usage(request: UsageRequest): UsagePage {
    return this.#isOpen ? queryUsage(this.#sql, request) : { groups: [], next: null };
  }

  /** Re-arms first: nothing that goes wrong here leaves what is pending without an alarm. */
  override async alarm(): Promise<void> {
    this.#alarmAt = null;
    this.#arm(Date.now() + AWAY_MS);
    try {
      await this.#leave();
      await this.#sweep();
      this.#failures = 0;
    } catch (error) {
      log.warn("usage_not_stored", { reason: reasonOf(error) });
      this.#rest(Date.now() + Math.min(AWAY_MS, WATCH_MS * 2 ** this.#failures));
      this.#failures += 1;
    }
  }

  #store(): void {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    this.#gathered = 0;
    this.#sources = new Set(waiting.map(({ batch }) => batch.source)).size;
    try {
      const fresh = this.ctx.storage.transactionSync(() => this.#take(waiting));
      for (const { stored } of waiting) stored.resolve();
      if (fresh > 0) this.#leaveSoon();
    } catch (error) {
      this.#isOpen = !isEmpty(this.#sql);
      for (const { stored } of waiting) stored.reject(error);
    }
  }

  #take(waiting: readonly Waiting[]): number {
    if (!this.#isOpen) openSchema(this.#sql, meterSchema);
    this.#isOpen = true;
    const account = waiting[0]?.account ?? "";
    if (this.#rows.note("account") === null) this.#rows.setNote("account", account);
    return takeBatches(
      this.#rows,
      waiting.map(({ batch }) => batch),
      Date.now(),
    ).length;
  }

  #leaveSoon(): void {
    const now = Date.now();
    this.#storeAt ??= now + STORE_EVERY_MS;
    this.#arm(this.#publishes ? now + WATCH_MS : this.#storeAt);
    if (this.#publishes && this.#publishing === null)
      void this.#publish().catch((error: unknown) => log.warn("usage_not_published", { reason: reasonOf(error) }));
  }

  /** Publishes all that waits, one call at a time: a caller that comes meanwhile learns how that one ended. */
  #publish(): Promise<void> {
    this.#publishing ??= this.#publishAll().finally(() => {
      this.#publishing = null;
    });
    return this.#publishing;
  }

  async #publishAll(): Promise<void> {
    while (this.#publishes && (await publishUsage(this.env, this.#rows, this.#timers.after)));
  }

  async #leave(): Promise<void> {
    if (!this.#isOpen) return;
    await this.#publish();
    const account = this.#rows.note("account") ?? "";
    const upTo = this.#publishes ? Number(this.#rows.note("published") ?? 0) : Infinity;
    if (Date.now() < (this.#storeAt ?? 0) && this.#rows.rawChars() < MANY_CHARS) return;
    this.#storeAt = null;
    for (;;) {
      const told = await this.#tellTotals(account, upTo);
      if (told === null || !(await storeRaw(this.env.BLOBS, account, this.#rows, told))) return;
    }
  }

  /** Tells the totals of the next rows, which count once; answers the number of the last row, null: there is none. */
  async #tellTotals(account: string, upTo: number): Promise<number | null> {
    const parts = partsOf(this.#rows.raw(0, MANY_CHARS).filter(({ n }) => n <= upTo));
    const last = parts.at(-1);
    if (last === undefined) return null;
    const taken = callObject(async () => {
      const totals: unknown = objectNamed(this.env.METER, ALL_ACCOUNTS);
      await (totals as RemoteTotals).takeTotals(account, parts);
    });
    await within(taken, TOTALS_LIMIT_MS, this.#timers.after);
    return last.n;
  }

  /** What is no longer kept goes; the alarm moves to when something is due again. */
  async #sweep(): Promise<void> {
    const now = Date.now();
    const isMore = this.#isOpen && this.#rows.sweep(now);
    if (this.#isOpen && this.#rows.hasRaw()) {
      this.#rest(Math.max(now + WATCH_MS, this.#storeAt ?? 0));
      return;
    }
    const account = this.#isOpen ? this.#rows.note("account") : null;
    const isMoreRaw = account !== null && (await sweepRaw(this.env.BLOBS, account, keptFrom(now).days));
    if (this.#waiting.length > 0) return;
    // Records that were stored meanwhile are not to wait for the next sweep.
    if (this.#isOpen && this.#rows.hasRaw()) this.#rest(Math.max(now + WATCH_MS, this.#storeAt ?? 0));
    else if (isMore || isMoreRaw) this.#rest(now + WATCH_MS);
    else if (this.#isOpen && !this.#rows.isEmpty()) this.#rest(now + SWEEP_MS);
    else {
      this.#isOpen = false;
      this.#alarmAt = null;
      await this.ctx.storage.deleteAll();
    }
  }

  #arm(at: number): void {
    if (this.#alarmAt !== null && this.#alarmAt <= at) return;
    this.#alarmAt = at;
    void this.ctx.storage.setAlarm(at);
  }

  #rest(at: number): void {
    this.#alarmAt = at;
    void this.ctx.storage.setAlarm(at);
  }
}
