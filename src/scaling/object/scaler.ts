/**
 * The object that decides which machines there should be: one for the whole deployment, because money, providers and
 * models that may run on several classes are shared by all classes. It looks every second while anything of it may
 * change by time, and sleeps when nothing is there, nothing waits and nothing keeps machines.
 */
import { DurableObject } from "cloudflare:workers";
import type { SyncReply, SyncRequest } from "../../contract/provider.ts";
import { amountOf } from "../../contract/price.ts";
import { nanoOf } from "../../contract/scaling.ts";
import type { ScalingSettings } from "../../contract/scaling.ts";
import type { Env } from "../../env.ts";
import { takeRents } from "../../metering/intervals.ts";
import { callObject, objectNamed } from "../../object-calls.ts";
import { createObjectTimers } from "../../object-timers.ts";
import { readWishes } from "../../registry/scaling-wishes.ts";
import { objectSql } from "../../shard/object-sql.ts";
import { within } from "../../shard/within.ts";
import { log, reasonOf } from "../../telemetry/log.ts";
import type { DemandReply, LaneDemand } from "../demand.ts";
import { settingsOf } from "./class-state.ts";
import { createClock } from "./clock.ts";
import { ScalerCore } from "./core.ts";
import { LaneCalls } from "./lane-calls.ts";
import { keyOf } from "./lanes.ts";
import { isWorking } from "./machine.ts";
import { Listeners } from "./listeners.ts";
import { MachineTokens } from "./machine-tokens.ts";
import { pastOf } from "./past.ts";
import type { Past } from "./past.ts";
import type { LastRents } from "./last-rents.ts";
import { readSettings } from "./read-settings.ts";
import { PROVIDER_HEADER } from "./remote.ts";
import { SOURCE } from "./rent-records.ts";
import { ScalerStore } from "./rows.ts";
import type { SessionCheck } from "./session-checks.ts";
import { statusOf } from "./status.ts";
import type { ScalingStatus } from "./status.ts";

const LOOK_MS = 1000;
/** The alarm looks, should the timers be lost with the object. */
const WATCH_MS = 30_000;
const SYNC_HOLD_MS = 25_000;
const CHECK_AGAIN_MS = 30_000;
/** Nothing has been there for so long: syncs are answered at once, so that they keep no object awake. */
const QUIET_MS = 600_000;
const QUIET_CHECK_MS = 2000;
/** The same of a service that listens: news reaches it at once. */
const LISTENER_QUIET_MS = 30_000;
const LISTENER_CHECK_MS = 60_000;
const READ_EVERY_MS = 5000;
/** How long settings, the database and meters may take: demands, syncs and looks wait for what is read. */
const ANSWER_MS = 5000;
/** While nothing is there and nothing waits; what changes them says so (`changed`). */
const QUIET_READ_EVERY_MS = 60_000;

/** `meteredFromMs`: since when the pool itself tells what its devices do. */
export type PoolNews = {
  type: "connected" | "ended";
  machine: string;
  session: string;
  devices: number;
  meteredFromMs?: number;
};

export class Scaler extends DurableObject<Env> {
  readonly #core: ScalerCore;
  readonly #store: ScalerStore;
  readonly #timers = createObjectTimers();
  readonly #waiters = new Set<() => void>();
  readonly #listeners: Listeners;
  readonly #tokens: MachineTokens;
  readonly #laneCalls: LaneCalls;
  /** Providers that were warned of. */
  readonly #low = new Set<string>();
  #readAt = -Infinity;
  #reading: Promise<void> | null = null;
  #hasRead = false;
  readonly #startedAt = Date.now();
  /** When something was there or waited last; null: not in this life. */
  #activeAt: number | null = null;
  #isLooking = false;
  #isMetering = false;
  #isWatched = false;
  /** The alarm of the next pre-warm. */
  #prewarmAtMs: number | null = null;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#tokens = new MachineTokens(env);
    this.#listeners = new Listeners(ctx);
    this.#store = new ScalerStore(objectSql(ctx.storage));
    this.#core = new ScalerCore(
      createClock(() => Date.now(), this.#store),
      this.#store,
    );
    this.#laneCalls = new LaneCalls(env, this.#core);
    if (this.#core.book.size > 0) this.#lookSoon();
  }

  /** Opens the channel by which a provider's service hears that something has changed. */
  override fetch(request: Request): Response {
    const socket = this.#listeners.accept(request.headers.get(PROVIDER_HEADER) ?? "");
    return socket === null
      ? new Response(null, { status: 429 })
      : new Response(null, { status: 101, webSocket: socket });
  }

  /** A lane's word of what waits and runs there. */
  async demand(lane: string, report: LaneDemand): Promise<DemandReply> {
    await this.#read();
    this.#askListeners();
    const first = this.#core.demand(lane, report);
    if (first.versions.length === 0) return first;
    if (this.#core.isUnread()) await this.#readAnew();
    this.#look();
    return this.#core.demand(lane, report);
  }

  /**
   * A provider's word of what it has; answers what it is to have, once that is something else than it knows. Null:
   * there are too many providers. A string: another service speaks for this provider.
   */
  async sync(request: SyncRequest, edgeUrl: string): Promise<SyncReply | string | null> {
    await this.#read();
    const refusal = this.#core.synced(request);
    if (refusal === "too_many") return null;
    if (refusal !== null) return refusal.why;
    this.#noteBalance(request);
    void this.#callLanes();
    this.#look();
    const isListening = this.#listeners.isThere(request.provider);
    const endsAt = Date.now() + SYNC_HOLD_MS;
    for (;;) {
      const reply = await this.#reply(request.provider, edgeUrl);
      const isQuiet = request.isLeaving === true || this.#isQuiet(isListening);
      if (reply.known !== request.known || Date.now() >= endsAt || isQuiet)
        return {
          ...reply,
          checkAgainMs: isQuiet ? (isListening ? LISTENER_CHECK_MS : QUIET_CHECK_MS) : CHECK_AGAIN_MS,
        };
      await this.#changed(endsAt - Date.now());
    }
  }

  /** What a machine's pool session has become. */
  async pool(news: PoolNews): Promise<void> {
    await this.#read();
    if (news.type === "ended") this.#core.book.poolEnded(news.machine, news.session);
    else this.#core.book.connected(news.machine, news.session, news.devices, news.meteredFromMs);
    this.#look();
  }

  /** Settings, deployments or models have changed: what they keep is looked at anew. */
  async changed(): Promise<void> {
    this.#askListeners();
    await this.#readAnew();
    void this.#callLanes();
    this.#look();
  }

  async status(): Promise<ScalingStatus> {
    await this.#read();
    return statusOf(this.#core, Date.now());
  }

  /** As `ScalerCore.forget`. */
  async forget(machine: string): Promise<true | string | null> {
    await this.#read();
    const found = this.#core.forget(machine);
    this.#look();
    return found;
  }

  lastRents(): LastRents | null {
    return this.#store.read("rents");
  }

  /** The last day's arrivals, with what would hold for them by the draft; null: by the settings that hold. */
  async past(draft: ScalingSettings | null): Promise<Past> {
    await this.#read();
    return pastOf(this.#core, this.#store.arrivals(Date.now()), draft);
  }

  override async alarm(): Promise<void> {
    await this.ctx.storage.setAlarm(Date.now() + WATCH_MS);
    try {
      this.#askListeners();
      await this.#readAnew();
      this.#look();
      if (this.#core.isActive) return;
      this.#isWatched = false;
      await this.ctx.storage.deleteAlarm();
      this.#prewarmAtMs = null;
      this.#rest();
    } catch (error) {
      log.error("scaler_alarm_failed", { reason: reasonOf(error) });
    }
  }

  /** Decides, tells who must know, and comes back while time alone may change something. */
  #look(): void {
    const errands = this.#core.tick();
    this.#store.flush(Date.now());
    for (const { session, withinMs } of errands.drain) void this.#drain(session, withinMs);
    for (const one of errands.check) void this.#check(one);
    void this.#tokens.keep(this.#core.book);
    void this.#meter();
    for (const wake of this.#waiters) wake();
    for (const name of this.#listeners.providers())
      this.#listeners.note(name, JSON.stringify(this.#core.desired(name)));
    if (!this.#core.isActive) {
      this.#rest();
      return;
    }
    this.#activeAt = Date.now();
    this.#lookSoon();
    if (this.#isWatched) return;
    this.#isWatched = true;
    void this.ctx.storage.setAlarm(Date.now() + WATCH_MS);
  }

  /** Sleeps until a pre-warm is due; without one, until it is called. */
  #rest(): void {
    if (this.#isWatched) return;
    const atMs = this.#core.prewarmAtMs();
    const isSet = this.#prewarmAtMs !== null && this.#prewarmAtMs > Date.now();
    // An alarm that comes too early only looks.
    if (atMs === null || (isSet && (this.#prewarmAtMs ?? 0) <= atMs)) return;
    this.#prewarmAtMs = atMs;
    void this.ctx.storage.setAlarm(atMs);
  }

  #lookSoon(): void {
    if (this.#isLooking) return;
    this.#isLooking = true;
    void this.#timers.after(LOOK_MS, () => {
      this.#isLooking = false;
      void this.#lookAnew();
    });
  }

  #isQuiet(isListening: boolean): boolean {
    if (!isListening) return Date.now() - (this.#activeAt ?? this.#startedAt) > QUIET_MS;
    return !this.#core.isActive && Date.now() - (this.#activeAt ?? -Infinity) > LISTENER_QUIET_MS;
  }

  /** What services offer isn't stored: those that weren't heard in this life are asked. */
  #askListeners(): void {
    this.#core.isExpecting = this.#listeners.providers().length > 0;
    this.#listeners.ask((name) => this.#core.isHere(name), Date.now());
  }

  #noteBalance({ provider, balance }: SyncRequest): void {
    const { low_balance: limit, currency } = this.#core.settings;
    const isLow = limit !== undefined && balance !== undefined && balance.nano < nanoOf(limit);
    if (!isLow) this.#low.delete(provider);
    else if (!this.#low.has(provider)) {
      this.#low.add(provider);
      log.warn("provider_balance_low", { provider, left: amountOf(balance.nano), currency });
    }
  }

  async #lookAnew(): Promise<void> {
    try {
      await this.#read();
      await this.#laneCalls.askSilent();
      this.#look();
    } catch (error) {
      log.error("scaler_look_failed", { reason: reasonOf(error) });
    }
  }

  /** What isn't taken now is told at the next look. */
  async #meter(): Promise<void> {
    const { rents } = this.#core;
    if (this.#isMetering || rents.waiting.length === 0) return;
    this.#isMetering = true;
    try {
      await this.#inTime(takeRents(this.env, SOURCE, rents));
    } catch (error) {
      log.warn("rent_not_metered", { records: rents.waiting.length, reason: reasonOf(error) });
    }
    this.#isMetering = false;
  }

  /**
   * As soon as something can be rented, what waits in lanes that asked before is looked at. So is what models are to
   * keep, which nobody read before.
   */
  async #callLanes(): Promise<void> {
    try {
      const wereCalled = await this.#laneCalls.callWaiting();
      const isUnread = this.#core.isOn && this.#core.isUnread();
      if (isUnread) await this.#readAnew();
      if (wereCalled || isUnread) this.#look();
    } catch (error) {
      log.error("scaler_look_failed", { reason: reasonOf(error) });
    }
  }

  async #reply(provider: string, edgeUrl: string): Promise<Omit<SyncReply, "checkAgainMs">> {
    const told = this.#core.desired(provider);
    const desired: SyncReply["desired"] = [];
    for (const one of told) {
      const machine = this.#core.book.get(one.machine);
      if (machine === undefined) continue;
      const { lanes } = settingsOf(this.#core.settings, one.hardware);
      const needsToken = isWorking(machine) && machine.connectedAtMs === null;
      const token = needsToken ? await this.#tokens.secretOf(machine, this.#core.settings) : null;
      // Without one it could not connect: it is told once there is one. One that was told may be there already, and
      // would be returned as an orphan.
      if (needsToken && token === null && machine.state === "wanted") continue;
      desired.push({ ...one, edgeUrl, lanes, ...(token === null ? {} : { poolToken: token }) });
    }
    for (const { machine } of desired) this.#core.book.asked(machine);
    return { known: await hashOf(desired), nowMs: Date.now(), desired };
  }

  async #drain(session: string, withinMs: number): Promise<void> {
    const stub: unknown = objectNamed(this.env.POOL, session);
    try {
      await callObject(() => (stub as { drain(withinMs: number): Promise<void> }).drain(withinMs));
    } catch (error) {
      log.warn("machine_not_told_to_drain", { session, reason: reasonOf(error) });
    }
  }

  /** A session whose lease is over tells its end, if it hasn't; one that has told it knows of no lease. */
  async #check({ machine, session }: SessionCheck): Promise<void> {
    const stub: unknown = objectNamed(this.env.POOL, session);
    try {
      const lease = await callObject(() => (stub as { check(claims: []): Promise<{ alive: boolean }> }).check([]));
      if (lease.alive) return;
      this.#core.book.poolEnded(machine, session);
      this.#look();
    } catch (error) {
      log.warn("machine_session_unknown", { machine, session, reason: reasonOf(error) });
    }
  }

  /** Resolves at the next look, or when the time is up. */
  #changed(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiters.delete(wake);
        giveUp();
        resolve();
      };
      const giveUp = this.#timers.after(Math.max(1, withinMs), wake);
      this.#waiters.add(wake);
    });
  }

  async #read(): Promise<void> {
    const everyMs = this.#isQuiet(true) ? QUIET_READ_EVERY_MS : READ_EVERY_MS;
    if (Math.abs(Date.now() - this.#readAt) >= everyMs) await this.#readAnew();
    // Without any settings nothing is decided.
    else if (!this.#hasRead) await this.#reading;
  }

  /** A call that hangs is given up, and made again at a later look. */
  #inTime<T>(answer: Promise<T>): Promise<T> {
    return within(answer, ANSWER_MS, this.#timers.after);
  }

  /** Settings, and the wishes of models. What can't be read stays as it was. */
  async #readAnew(): Promise<void> {
    this.#reading ??= this.#readOnce().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  async #readOnce(): Promise<void> {
    this.#readAt = Date.now();
    try {
      this.#core.settings = await this.#inTime(readSettings(this.env));
      this.#hasRead = true;
      if (!this.#core.isOn) return;
      const asked = [...this.#core.appetites.values()].map(({ model, version }) => ({ model, version }));
      const models = Object.entries(this.#core.settings.models);
      const kept = models.flatMap(([model, { min = 0 }]) => (min > 0 ? [model] : []));
      const wishes = await this.#inTime(readWishes(this.env.DB, asked, kept));
      this.#core.wish(
        wishes.map((wish) => ({ ...wish, key: keyOf(wish) })),
        asked,
      );
    } catch (error) {
      log.warn("scaling_settings_not_read", { reason: reasonOf(error) });
    }
  }
}

async function hashOf(value: unknown): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(JSON.stringify(value)));
  return Array.from(new Uint8Array(digest).slice(0, 16), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
