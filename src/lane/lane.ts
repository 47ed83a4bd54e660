/**
 * The Durable Object of a lane: decides what leaves for the log and when, and tells pools that sleep that there is work. One
 * produce is in flight at a time; what comes meanwhile rides in the next.
 */
import { DurableObject } from "cloudflare:workers";
import { shardName, shardOf } from "../contract/ids.ts";
import { jobTopic } from "../contract/job.ts";
import type { Job } from "../contract/job.ts";
import type { Env } from "../env.ts";
import { produceHalving } from "../log/halving.ts";
import { currentLog, desiredLog, noteLogSetting } from "../log/current-log.ts";
import type { CurrentLog } from "../log/current-log.ts";
import type { LogRecord } from "../log/types.ts";
import { callObject, objectNamed, retryDelayMs } from "../object-calls.ts";
import type { LogSetting } from "../registry/log-settings.ts";
import { remoteShard } from "../shard/remote.ts";
import { objectSql } from "../shard/sql.ts";
import { LaneCore } from "./core.ts";
import type { LaneEntry, LaneStats, OfferReply, PoolCapacity } from "./types.ts";

/** Records of one produce. */
const BATCH_RECORDS = 500;
/** How long a move of the log waits for what is on its way. */
const MOVE_PATIENCE_MS = 3000;
/** While anything waits, the alarm looks again after this, whatever else was lost. */
const WATCH_MS = 5000;
/** Pools leave the log alone once it was quiet for a while: after this long without a release they are told. */
const QUIET_MS = 2000;

export type LaneNews = { entries: LaneEntry[]; withdrawn: string[]; claimed: string[] };

export class Lane extends DurableObject<Env> {
  readonly #core: LaneCore;
  #lane = "";
  /** The epoch of the log that this lane produces to; null before its first produce. */
  #epoch: number | null;
  #producing: Promise<void> | null = null;
  #failures = 0;
  #releasedAt = 0;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#core = new LaneCore(objectSql(ctx.storage), () => Date.now());
    this.#epoch = ctx.storage.kv.get<number>("log-epoch") ?? null;
  }

  /**
   * A shard's news: what waits, what waits no longer, what was claimed. Answers once everything that it took is in the log
   * or stored.
   */
  async exchange(lane: string, news: LaneNews): Promise<OfferReply> {
    this.#remember(lane);
    const { entries, withdrawn, claimed } = news;
    // Who only asks for the stats is not made to wait for the log.
    if (entries.length + withdrawn.length + claimed.length === 0) {
      await this.#releaseSoon();
      return { tickets: {}, stats: this.#core.stats() };
    }
    this.#core.withdraw(withdrawn);
    this.#core.claimed(claimed);
    const tickets = this.#core.offer(entries);
    await this.#release();
    return { tickets, stats: this.#core.stats() };
  }

  /** A pool session came, changed, drains or is gone. */
  async setPool(lane: string, capacity: PoolCapacity): Promise<void> {
    this.#remember(lane);
    this.#core.setPool(capacity);
    await this.#releaseSoon();
  }

  /**
   * The operator has moved the log: hands on again what waits in the old one, and tells the pools. Answers how many jobs were handed on and
   * how many pools were told.
   */
  async moveLog(lane: string, setting: LogSetting): Promise<{ handedOn: number; pools: number }> {
    this.#remember(lane);
    const handedOn = this.#adopt(noteLogSetting(this.env, setting));
    // The old log may be away and hold a produce until its time-out.
    await Promise.race([this.#release(), scheduler.wait(MOVE_PATIENCE_MS)]);
    return { handedOn, pools: this.#core.sessions().length };
  }

  stats(): LaneStats {
    return this.#core.stats();
  }

  override async alarm(): Promise<void> {
    await this.ctx.storage.setAlarm(Date.now() + WATCH_MS);
    try {
      this.#lane ||= (await this.ctx.storage.get<string>("lane")) ?? "";
      this.#core.expire();
      await this.#release();
      if (!this.#core.hasWaiting()) await this.ctx.storage.deleteAlarm();
    } catch (error) {
      console.error(JSON.stringify({ level: "error", at: "lane.alarm", message: String(error) }));
    }
  }

  #remember(lane: string): void {
    if (this.#lane === lane) return;
    this.#lane = lane;
    this.ctx.storage.kv.put("lane", lane);
  }

  /** Sends all that may leave; resolves when what was leaving at the call is in the log or stored. */
  async #release(): Promise<void> {
    if (this.#producing !== null) await this.#producing;
    if (this.#failures === 0) this.#begin();
    if (this.#producing !== null) await this.#producing;
    if (this.#core.hasWaiting()) await this.#watch();
  }

  /** The same for who need not know when. */
  async #releaseSoon(): Promise<void> {
    if (this.#failures === 0) this.#begin();
    if (this.#core.hasWaiting()) await this.#watch();
  }

  #begin(): void {
    this.#producing ??= this.#produceAll().finally(() => {
      this.#producing = null;
    });
  }

  async #produceAll(): Promise<void> {
    for (let batch = this.#core.fill(); batch.length > 0; batch = this.#core.fill()) {
      const part = batch.slice(0, BATCH_RECORDS);
      try {
        await this.#produce(part);
        this.#failures = 0;
      } catch (error) {
        this.#core.keep();
        this.#retryLater(error);
        return;
      }
      this.#nudge();
    }
  }

  /** Follows the log to another epoch. Answers how many jobs leave again for it. */
  #adopt({ setting }: CurrentLog): number {
    const { epoch } = setting;
    if (this.#epoch === epoch) return 0;
    const isFirst = this.#epoch === null;
    this.#epoch = epoch;
    this.ctx.storage.kv.put("log-epoch", epoch);
    this.#failures = 0;
    for (const session of this.#core.sessions()) {
      // A pool that is not told now learns it when it connects again.
      void objectNamed(this.env.POOL, session)
        .moveLog(desiredLog(setting))
        .catch(() => {});
    }
    return isFirst ? 0 : this.#core.releaseAgain();
  }

  /** Produces a batch; what the log refuses for good fails its prediction only. */
  async #produce(batch: readonly LaneEntry[]): Promise<void> {
    await produceHalving(
      batch,
      async (part) => {
        const log = await currentLog(this.env, this.#epoch ?? 0);
        this.#adopt(log);
        const { epoch } = log.setting;
        await log.producer.produce(part.map((entry) => recordOf(this.#lane, entry, epoch)));
        // What went to a log that was left meanwhile is still leaving: it goes to the new one too.
        if (this.#epoch === epoch) this.#core.produced(part);
      },
      async ({ id }, reason) => {
        this.#core.withdraw([id]);
        await callObject(() => remoteShard(this.env, shardName(shardOf(id))).undeliverable(id, reason));
      },
    );
  }

  #retryLater(error: unknown): void {
    this.#failures += 1;
    const delayMs = retryDelayMs(this.#failures, error);
    console.warn(
      JSON.stringify({
        level: "warn",
        at: "lane.produce",
        lane: this.#lane,
        retryInMs: delayMs,
        message: String(error),
      }),
    );
    setTimeout(() => this.#begin(), delayMs);
  }

  /** Tells the pools that may have left the log alone. */
  #nudge(): void {
    const now = Date.now();
    const wasQuiet = now - this.#releasedAt > QUIET_MS;
    this.#releasedAt = now;
    if (!wasQuiet) return;
    for (const session of this.#core.sessions()) {
      void objectNamed(this.env.POOL, session)
        .work(this.#lane)
        .then((isThere) => {
          if (!isThere) this.#core.setPool({ session, slots: 0, maxBatchSize: 1 });
        })
        .catch(() => {});
    }
  }

  async #watch(): Promise<void> {
    if ((await this.ctx.storage.getAlarm()) === null) await this.ctx.storage.setAlarm(Date.now() + WATCH_MS);
  }
}

function recordOf(lane: string, entry: LaneEntry, epoch: number): LogRecord {
  const { id, priority, model, version, cost, startBy, traceparent } = entry;
  const job: Job = { v: 1, id, lane, priority, model, version, cost, startBy, epoch };
  const headers = traceparent === null ? [] : [{ key: "traceparent", value: traceparent }];
  if (traceparent !== null) job.traceparent = traceparent;
  return { topic: jobTopic(lane, priority), key: id, value: JSON.stringify(job), headers };
}
