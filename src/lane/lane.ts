/**
 * The Durable Object of a lane: matches what waits with the room that pools told. It calls nobody to accept a
 * reservation; what it must tell others, it tells beside: pools that there is work, shards that a pool has room or that
 * a model can't be set up, a real Kafka what waits.
 */
import { DurableObject } from "cloudflare:workers";
import type { LaneOutlook } from "../../plugins/kernel/services.ts";
import type { Nudge } from "../contract/channel.ts";
import type { Priority } from "../contract/prediction.ts";
import type { Env } from "../env.ts";
import { desiredLog, noteLogSetting } from "../log/current-log.ts";
import type { LogSetting } from "../registry/log-settings.ts";
import type { DemandReply, LaneDemand } from "../scaling/demand.ts";
import { reasonOf, log } from "../telemetry/log.ts";
import { callObject, objectNamed } from "../object-calls.ts";
import { createObjectTimers } from "../object-timers.ts";
import { objectSql } from "../shard/object-sql.ts";
import { remoteShard } from "../shard/remote.ts";
import { LaneCore } from "./core.ts";
import { demandOf, noteComing } from "./demand.ts";
import { createDemandTeller } from "./demand-teller.ts";
import { createErrands } from "./errands.ts";
import { createFaults } from "./faults.ts";
import type { LaneFaults } from "./faults.ts";
import { handOnInherited } from "./inherited.ts";
import { outlookIn } from "./outlook.ts";
import type { OutlookRef } from "./outlook.ts";
import { roomsOf } from "./rooms.ts";
import type { PoolRoom } from "./rooms.ts";
import { createReleases } from "./releases.ts";
import { steadyClock } from "../steady-clock.ts";
import type { EntryRef, LaneEntry, LaneNews, LaneStats, OfferReply, Reservation, RoomReport } from "./types.ts";

/** While anything waits, the alarm looks again after this, whatever else was lost. */
const WATCH_MS = 5000;
/** How long a move of the log waits for what is on its way. */
const MOVE_PATIENCE_MS = 3000;
/** How long pools are waited for that are just being asked for their room. */
const ROOM_PATIENCE_MS = 1000;
const INHERITED_RETRY_MS = 2000;
/** Waiting predictions that an account may have in one lane. */
const MAX_WAITING = 100_000;

export class Lane extends DurableObject<Env> {
  readonly #now = steadyClock(() => Date.now());
  readonly #core: LaneCore;
  readonly #timers = createObjectTimers();
  readonly #faults = createFaults(() => this.ctx.abort("a test fault"));
  readonly #errands: ReturnType<typeof createErrands>;
  readonly #releases: ReturnType<typeof createReleases>;
  readonly #teller = createDemandTeller({
    now: () => this.#now(),
    after: (delayMs, call) => this.#timers.after(delayMs, call),
    demand: () => demandOf(this.#core, this.#now()),
    tell: (report) => this.#scaler().demand(this.#lane, report),
    heard: (reply) => this.#heard(reply),
  });
  #lane: string;
  #giveUp: () => void = () => {};
  #actsAt = Infinity;
  #isWatched = false;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#core = new LaneCore(objectSql(ctx.storage), { now: this.#now, wall: () => Date.now() });
    this.#lane = ctx.storage.kv.get<string>("lane") ?? "";
    this.#errands = createErrands(env, () => this.#lane, this.#faults.leaves);
    this.#releases = createReleases({
      env,
      core: this.#core,
      lane: () => this.#lane,
      kv: ctx.storage.kv,
      after: (delayMs, call) => void this.#timers.after(delayMs, call),
    });
    // What pools had room for, and which grants they hold, is not stored: they are asked.
    if (this.#core.sessions().length > 0) this.#actSoon();
    void this.#handOnInherited();
  }

  /** A session with room for each, at once, or why not. Nothing is stored. */
  reserve(lane: string, entries: LaneEntry[]): Reservation[] | Promise<Reservation[]> {
    this.#remember(lane);
    return this.#faults.answer(() => {
      if (!this.#faults.reserves()) return entries.map(() => ({ outcome: "waits" }) as const);
      const answers = this.#core.reserve(entries);
      this.#faults.reserved(answers.filter(({ outcome }) => outcome === "reserved").length);
      this.#actSoon();
      return answers;
    });
  }

  /** A shard's news; what it hands on is stored before it is answered. */
  exchange(lane: string, news: LaneNews): OfferReply | Promise<OfferReply> {
    this.#remember(lane);
    return this.#faults.answer(() => {
      this.#core.withdraw(news.withdrawn);
      this.#core.granted(news.granted);
      this.#core.unused(news.unused);
      const { tickets, failed } = this.#core.offer(news.entries);
      const view = this.#core.view([...news.entries, ...news.asked]);
      this.#actSoon();
      return { tickets, failed, full: this.#fullAmong(news.entries), view };
    });
  }

  /**
   * A pool polls its topics: the next that it can run, in order, `max` at most. They are its own for a moment, until
   * their shards have granted them.
   */
  take(
    lane: string,
    session: string,
    rooms: [key: string, room: number, startNow: number][],
    max: number,
  ): LaneEntry[] | Promise<LaneEntry[]> {
    this.#remember(lane);
    return this.#faults.answer(() => {
      const byVersion = new Map(rooms.map(([key, room, startNow]) => [key, { room, startNow }]));
      const taken = this.#core.take(session, byVersion, max);
      this.#actSoon();
      return this.#faults.taken(taken);
    });
  }

  /** A pool's statement of its room. */
  tell(lane: string, report: RoomReport): void | Promise<void> {
    this.#remember(lane);
    return this.#faults.answer(() => {
      this.#core.tell(report);
      this.#actSoon();
    });
  }

  /** The session drains, or is over. */
  gone(lane: string, session: string): void {
    this.#remember(lane);
    this.#core.gone(session);
    this.#actSoon();
  }

  /** These wait no longer: their shards said so to whoever asked for them. */
  dismiss(lane: string, refs: EntryRef[]): void {
    this.#remember(lane);
    this.#core.withdraw(refs);
  }

  /** What waits in one of the topics, oldest first: its records carry no input. */
  peek(priority: Priority, offset: number, limit: number): LaneEntry[] {
    return this.#core.peek(priority, offset, limit);
  }

  /**
   * The operator has moved the log: what waits goes by the new one, and the pools are told. Answers how many
   * predictions wait and how many pools were told.
   */
  async moveLog(lane: string, setting: LogSetting): Promise<{ handedOn: number; pools: number }> {
    this.#remember(lane);
    const current = noteLogSetting(this.env, setting);
    const sessions = this.#core.sessions();
    for (const session of sessions) this.#errands.moveLog(session, desiredLog(current.setting));
    this.#releases.adopt(current);
    const { high, normal, low } = this.#core.stats().waiting;
    // The old log may be away and hold a produce until its time-out.
    await Promise.race([this.#releases.release(), scheduler.wait(MOVE_PATIENCE_MS)]);
    this.#actSoon();
    return { handedOn: high + normal + low, pools: sessions.length };
  }

  /** Something changed that the pools of this lane may ask for. Answers how many are told. */
  nudge(lane: string, what: Nudge): number {
    this.#remember(lane);
    const sessions = this.#core.sessions();
    for (const session of sessions) this.#errands.nudge(session, what);
    return sessions.length;
  }

  /**
   * What these pools have room for, as they say; those that aren't known are left out. A lane that was just woken waits
   * a moment for what they tell it.
   */
  async rooms(lane: string, sessions: string[]): Promise<PoolRoom[]> {
    this.#remember(lane);
    const isTold = (): boolean => sessions.every((name) => this.#core.credit.sessions.get(name)?.n !== null);
    for (const endsAt = Date.now() + ROOM_PATIENCE_MS; !isTold() && Date.now() < endsAt;) await scheduler.wait(20);
    return roomsOf(this.#core.credit, sessions);
  }

  /** The scaler has forgotten what this lane told, or can rent for it now. */
  demand(lane: string): LaneDemand {
    this.#remember(lane);
    return this.#teller.asked();
  }

  /** What a prediction that came now would find. */
  outlook(ref: OutlookRef): LaneOutlook {
    return outlookIn(this.#core, ref);
  }

  stats(): LaneStats {
    return this.#core.stats();
  }

  /**
   * Sets the test faults; a deployment without `LOCAL_FAULTS=1` has none. Answers how often those before have struck;
   * null: there were none.
   */
  setFaults(faults: LaneFaults): number | null {
    return this.env.LOCAL_FAULTS === "1" ? this.#faults.set(faults) : null;
  }

  /** Re-arms first: nothing that goes wrong here leaves what waits without an alarm. */
  override async alarm(): Promise<void> {
    await this.ctx.storage.setAlarm(Date.now() + WATCH_MS);
    try {
      this.#act();
      if (this.#core.hasWaiting()) {
        // A scaler that started again may not know this lane.
        this.#teller.changed();
        return;
      }
      this.#isWatched = false;
      await this.ctx.storage.deleteAlarm();
    } catch (error) {
      log.error("lane_alarm_failed", { reason: reasonOf(error) });
    }
  }

  async #handOnInherited(): Promise<void> {
    try {
      const ask = (shard: string) => callObject(() => remoteShard(this.env, shard).handOnAgain());
      await handOnInherited(objectSql(this.ctx.storage), ask);
    } catch (error) {
      log.warn("inherited_not_handed_on", { lane: this.#lane, reason: reasonOf(error) });
      void this.#timers.after(INHERITED_RETRY_MS, () => void this.#handOnInherited());
    }
  }

  #remember(lane: string): void {
    if (this.#lane === lane) return;
    this.#lane = lane;
    this.ctx.storage.kv.put("lane", lane);
  }

  #fullAmong(entries: readonly LaneEntry[]): Record<string, number> {
    const accounts = new Set(entries.map(({ account }) => account));
    return Object.fromEntries(
      [...accounts]
        .filter((account) => this.#core.waitingOf(account) >= MAX_WAITING)
        .map((account) => [account, MAX_WAITING]),
    );
  }

  #scaler(): RemoteScaler {
    const stub: unknown = objectNamed(this.env.SCALER, "scaler");
    return stub as RemoteScaler;
  }

  /** When machines come, and which versions get none. */
  #heard(reply: DemandReply): void {
    noteComing(this.#core, reply.versions, this.#now());
    this.#act();
  }

  /** Once this turn is over: many things may happen in one. */
  #actSoon(): void {
    this.#teller.changed();
    this.#actAt(this.#now());
    if (!this.#isWatched && this.#core.hasWaiting()) {
      this.#isWatched = true;
      void this.ctx.storage.setAlarm(Date.now() + WATCH_MS);
    }
  }

  #actAt(at: number): void {
    if (at >= this.#actsAt) return;
    this.#giveUp();
    this.#actsAt = at;
    const delayMs = at - this.#now();
    if (delayMs <= 0) queueMicrotask(() => this.#act());
    else this.#giveUp = this.#timers.after(delayMs, () => this.#act());
  }

  /** Tells others what they must know now, and sets the time when there will be more. */
  #act(): void {
    this.#actsAt = Infinity;
    const due = this.#core.due();
    this.#errands.run(due);
    void this.#releases.release();
    if (due.nextAt !== null) this.#actAt(Math.max(due.nextAt, this.#now() + 1));
  }
}

type RemoteScaler = { demand(lane: string, report: LaneDemand): Promise<DemandReply> };
