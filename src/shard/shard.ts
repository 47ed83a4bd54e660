/**
 * The Durable Object that owns a set of predictions: the core's stored state, made reachable. Calls are synchronous up
 * to their answer; what leaves goes through couriers, one call in flight per receiver; the alarm sees to all that falls
 * due.
 */
import { DurableObject } from "cloudflare:workers";
import type { Bound } from "../../plugins/kernel/fair-share.ts";
import type { ClaimRef } from "../contract/channel.ts";
import type { ClaimAnswer, ClaimRequest } from "../contract/claim.ts";
import type { EventsReply } from "../contract/event.ts";
import { newToken } from "../contract/ids.ts";
import { numericVar } from "../contract/numeric-vars.ts";
import { isTerminal } from "../contract/prediction.ts";
import type { PredictionError, PredictionSnapshot } from "../contract/prediction.ts";
import type { UsageReport } from "../contract/usage.ts";
import type { Env } from "../env.ts";
import { objectNamed } from "../object-calls.ts";
import { createObjectTimers } from "../object-timers.ts";
import { publishesEnds, readPublishSettings } from "../log/publish-settings.ts";
import { ShardCore } from "./core.ts";
import { createDispatch } from "./dispatch.ts";
import { createGather } from "./gather.ts";
import type { Dispatch } from "./dispatch.ts";
import type { Hold } from "./hold.ts";
import { replayableOf } from "./replay.ts";
import type { Replayable } from "./replay.ts";
import { removeDataTraces, removeStrays, removeTraces } from "./traces.ts";
import { defaultRules } from "./rules.ts";
import { flowAccountOf, snapshotOf } from "./row.ts";
import { listed, MAX_LISTED_OUTPUT_CHARS } from "./sizes.ts";
import { objectSql } from "./object-sql.ts";
import type { LeaseChecks, Screened, ScreenedEvent, SubmitAnswer, Submission } from "./types.ts";
import { createWaiters } from "./waiters.ts";
import { within } from "./within.ts";

/** How often the alarm of a shard in use looks for what did not leave: what a crash of the machine costs at most. */
const WATCH_MS = 2000;
/** How often somebody who waits has parked events looked for; an answer waits for a look no longer than this. */
const LOOK_EVERY_MS = 1000;
/** Rows that are handled in one go; calls get their turn in between. */
const PAUSE_MS = 0;
/** Between two pages of rows. */
const COLLECT_PAUSE_MS = 20;
/**
 * Submissions that come within 20 ms of each other are stored together, at most 2 ms later. A lone client waits for
 * nobody.
 */
const GATHER = { windowMs: 2, busyMs: 20 } as const;

type Accepted = ReturnType<ShardCore["submit"]>;

export class PredictionShard extends DurableObject<Env> {
  readonly #core: ShardCore;
  readonly #dispatch: Dispatch;
  readonly waiters = createWaiters(createObjectTimers(), undefined, {
    accountStreams: numericVar(this.env, "ACCOUNT_STREAMS"),
    accountHeld: numericVar(this.env, "ACCOUNT_HELD_REQUESTS"),
  });
  readonly #accept = createGather(
    (submissions: readonly Submission[]) => this.#store(submissions),
    GATHER,
    () => Date.now(),
  );
  /** Calls of `submit` that haven't answered. */
  #submitting = 0;
  #alarmAt: number | null = null;
  #used = false;
  #flushing = false;
  #collecting = false;
  /** Whether pools may park their events in Redis. */
  readonly #mayBeParked: boolean;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#mayBeParked = (env.KV_REST_URL ?? "") !== "";
    const publish = readPublishSettings(env);
    const publishes = publishesEnds(publish);
    const now = () => Date.now();
    this.#core = new ShardCore(objectSql(ctx.storage), { rules: defaultRules, now, newToken, publishes, meters: true });
    this.#core.onChange = (id, frames) => this.waiters.notify(id, frames);
    // Whoever is held for a large output gets it from memory, and not from its row again.
    this.#core.soon = (run) => void setTimeout(run, 0);
    this.#dispatch = createDispatch(env, this.#core, publish, (claims) => this.#askFor(claims));
    this.#core.recovery.begin();
    this.#collect();
    // The alarm of an earlier life stands: what comes first now must not put it off.
    void ctx.blockConcurrencyWhile(async () => {
      this.#alarmAt = await ctx.storage.getAlarm();
      this.#arm(this.#core.wakes.nextAt());
    });
  }

  /**
   * Accepts a prediction; with `waitMs`, answers when it is finished or that time is over. `isLone`: its Worker knows
   * of no other that is on its way.
   */
  async submit(submission: Submission, waitMs: number, isLone = false): Promise<SubmitAnswer> {
    this.#submitting += 1;
    try {
      return await this.#submit(submission, waitMs, isLone && this.#submitting === 1);
    } finally {
      this.#submitting -= 1;
    }
  }

  async #submit(submission: Submission, waitMs: number, isLone: boolean): Promise<SubmitAnswer> {
    const { id, accountId } = submission;
    const limit = this.#dispatch.lanes.limitReached(flowAccountOf(submission));
    if (limit !== null && submission.answer === undefined && this.#core.store.get(id) === null)
      return { outcome: "full", limit };
    const accepted = await this.#accept(submission, isLone);
    if (accepted === null) return { outcome: "conflict" };
    const reader = submission.question === undefined ? accountId : null;
    const holder = flowAccountOf(submission);
    const prediction = waitMs > 0 ? await this.#finished(id, reader, waitMs, holder) : this.#show(id, reader);
    if (prediction === null) return { outcome: "conflict" };
    return { outcome: accepted.created ? "created" : "existing", prediction };
  }

  /** Whether the account's key that made this id brought this payload. */
  isAccepted(id: string, accountId: string, payloadHash: string): boolean {
    const row = this.#core.store.get(id);
    return row?.accountId === accountId && row.payloadHash === payloadHash;
  }

  /** Whether the prediction is there; `accountId` null: whosever it is. */
  has(id: string, accountId: string | null): boolean {
    return this.#core.snapshot(id, accountId) !== null;
  }

  /** The prediction; an unfinished one is answered at its next change, or when the hold is over. */
  async get(id: string, accountId: string, { holdMs, placeMaxAgeMs }: Hold): Promise<PredictionSnapshot | null> {
    const prediction = this.#core.snapshot(id, accountId);
    if (prediction === null) return null;
    if (!isTerminal(prediction.status)) {
      const looked = this.#lookForParked(id);
      await (holdMs > 0 && this.waiters.mayHold(accountId) ? this.waiters.change(id, holdMs, accountId) : looked);
    }
    // One that has left the queue is answered at once: its news must not wait for a busy lane.
    const now = this.#core.snapshot(id, accountId) ?? prediction;
    await this.#dispatch.lanes.refresh(now, placeMaxAgeMs);
    return this.#show(id, accountId);
  }

  /** Holds until the prediction is finished, at most `waitMs`; `accountId` null: the gateway itself asks. */
  wait(id: string, accountId: string | null, waitMs: number): Promise<PredictionSnapshot | null> {
    return this.#finished(id, accountId, waitMs);
  }

  /** Those of `ids` that the account has, as a list shows them. */
  many(ids: string[], accountId: string): PredictionSnapshot[] {
    return ids.flatMap((id) => {
      const ended = this.#core.store.ended(id, MAX_LISTED_OUTPUT_CHARS);
      const isShown = ended !== null && ended.fixed.question === undefined;
      const shown = isShown ? snapshotOf(ended, null) : this.#show(id, accountId);
      return shown?.accountId === accountId ? [listed(shown)] : [];
    });
  }

  /** Those of `ids` that have a row. */
  known(ids: string[]): string[] {
    return ids.filter((id) => this.#core.store.get(id) !== null);
  }

  cancel(id: string, accountId: string): PredictionSnapshot | null {
    const prediction = this.#core.cancel(id, accountId);
    this.#leave();
    return prediction;
  }

  /**
   * The data of a finished prediction goes, here at once, and elsewhere before this answers. An unfinished one stays.
   */
  async removeData(id: string, accountId: string): Promise<PredictionSnapshot | null> {
    const removed = this.#core.removeData(id, accountId);
    this.#leave();
    if (removed?.traces !== null && removed?.traces !== undefined) await removeDataTraces(this.env, removed.traces);
    return removed?.prediction ?? null;
  }

  claim(request: ClaimRequest, lanes: string[]): ClaimAnswer[] {
    const answers = this.#core.claim(request, lanes);
    this.#leave();
    return answers;
  }

  deliver(events: ScreenedEvent[], session: string, lanes: string[], reports?: UsageReport[]): EventsReply {
    const reply = this.#core.deliver(events, session, lanes, reports);
    this.#leave();
    return reply;
  }

  screened(claims: ClaimRef[]): Screened[] {
    return this.#core.screening.screened(claims);
  }

  /**
   * Frames as newline-delimited JSON, those after `afterSeq` (-1: all) first. It may end before `completed`: the reader
   * asks again behind the last one that it got. Null when the prediction isn't there; the bound that stands in the way
   * when its account has as much open as it may.
   */
  stream(id: string, accountId: string | null, afterSeq: number): ReadableStream<Uint8Array> | Bound | null {
    const owner = this.#core.snapshot(id, accountId)?.accountId;
    if (owner === undefined) return null;
    const bound = this.waiters.streamRefusal(owner);
    if (bound !== null) return bound;
    this.#core.markShown(id, accountId);
    const start = this.#core.frames(id, accountId, afterSeq);
    return start === null ? null : this.waiters.stream(id, start, owner);
  }

  claimKeptUntil(id: string, token: string): number | null {
    return this.#core.claimKeptUntil(id, token);
  }

  /** What a replay of this dead letter would submit. */
  replayable(id: string): Replayable {
    return replayableOf(this.#core.store.get(id));
  }

  /** The lane has room at a session for what waits here. */
  push(session: string, ids: string[]): void {
    this.#core.granting.push(session, ids);
    this.#leave();
  }

  /** The lane found that no pool can set the model of these up. */
  failWaiting(ids: string[], error: PredictionError): void {
    this.#core.granting.failWaiting(ids, error);
    this.#leave();
  }

  /** The lane knows nothing of what waits here. */
  handOnAgain(): void {
    this.#core.recovery.handOnAgain();
    this.#collect();
    this.#leave();
  }

  /** The lane found that the log refuses this job for good. */
  undeliverable(id: string, message: string): void {
    this.#core.undeliverable(id, message);
    this.#leave();
  }

  /** Re-arms first: after that nothing that goes wrong here can leave what is pending without an alarm. */
  override async alarm(): Promise<void> {
    const wasUsed = this.#used;
    this.#used = false;
    this.#alarmAt = null;
    this.#arm(Date.now() + WATCH_MS);
    try {
      while (await this.#wake()) await scheduler.wait(PAUSE_MS);
      if (!this.#dispatch.lanes.isPending()) this.#core.recovery.handedOn();
      const next = this.#core.wakes.nextAt();
      if (wasUsed || this.#core.wakes.isSearching() || this.#dispatch.isPending()) this.#arm(next);
      else this.#rest(next);
    } catch (error) {
      console.error(JSON.stringify({ level: "error", at: "shard.alarm", message: String(error) }));
    }
  }

  /** Handles some of what is due; whether there may be more. */
  async #wake(): Promise<boolean> {
    const { checks, strays, expired, more } = this.#core.wake();
    this.#core.flush();
    this.#collect();
    await this.#judge(checks);
    const swept = await removeStrays(this.env, strays);
    for (const { id } of strays) {
      if (swept.has(id)) this.#core.retention.swept(id);
      else this.#core.retention.postpone(id);
    }
    const gone = await removeTraces(this.env, expired);
    for (const { id } of expired) {
      if (gone.has(id)) this.#core.retention.retire(id);
      else this.#core.retention.postpone(id);
    }
    return more;
  }

  /** Tries the short way for each, and stores all at once. */
  async #store(submissions: readonly Submission[]): Promise<PromiseSettledResult<Accepted>[]> {
    const reservations = await this.#dispatch.lanes.reserve(submissions.filter(({ answer }) => answer === undefined));
    const accepted = submissions.map((submission) => {
      try {
        const value = this.#core.submit(submission, reservations.get(submission.id));
        return { status: "fulfilled" as const, value };
      } catch (error) {
        return { status: "rejected" as const, reason: error };
      }
    });
    this.#leave();
    return accepted;
  }

  /** Nothing was heard of these grants: their pools are asked whether they have them. */
  #askFor(claims: readonly ClaimRef[]): void {
    void this.#judge(this.#core.granting.unanswered(claims));
  }

  async #judge(checks: LeaseChecks): Promise<void> {
    const judged = [...checks].map(async ([session, ids]) => {
      const lease = await this.#dispatch.leaseOf(session, ids);
      this.#core.judge(session, ids, lease);
      this.#leave();
    });
    // A session that is slow to answer holds up no other's claims.
    await Promise.all(judged);
  }

  /** `holder`: among whose calls that are held this one counts. */
  async #finished(
    id: string,
    accountId: string | null,
    waitMs: number,
    holder = accountId ?? "",
  ): Promise<PredictionSnapshot | null> {
    const until = Date.now() + waitMs;
    for (;;) {
      const prediction = this.#show(id, accountId);
      const leftMs = until - Date.now();
      if (prediction === null || isTerminal(prediction.status) || leftMs <= 0) return prediction;
      if (!this.waiters.mayHold(holder)) return prediction;
      void this.#lookForParked(id);
      await this.waiters.change(id, this.#mayBeParked ? Math.min(leftMs, LOOK_EVERY_MS) : leftMs, holder);
    }
  }

  /**
   * A pool that parks its events (`delivery: kv`) says so through its channel; while that is down, whoever asks has
   * them looked for.
   */
  async #lookForParked(id: string): Promise<void> {
    const row = this.#mayBeParked ? this.#core.store.get(id) : null;
    if (row === null || row.session === null || (row.state !== "granted" && row.state !== "running")) return;
    // That it can't be looked for now is no reason not to answer with what is known.
    await within(objectNamed(this.env.POOL, row.session).look(), LOOK_EVERY_MS).catch(() => {});
  }

  #show(id: string, accountId: string | null): PredictionSnapshot | null {
    const prediction = this.#core.snapshot(id, accountId);
    if (prediction === null || isTerminal(prediction.status)) return prediction;
    return { ...prediction, queue: this.#dispatch.lanes.placeOf(prediction) };
  }

  /** Sends what the last change left to send, and sees to it that somebody looks again. */
  #leave(): void {
    this.#used = true;
    this.#dispatch.kick();
    this.#arm(this.#core.wakes.takeEarliest());
    if (this.#dispatch.isPending()) this.#arm(Date.now() + WATCH_MS);
    if (!this.#flushing) this.#flushLater(this.#core.nextFlushAt());
  }

  /** Collects from the stored rows what is to leave, a page at a time; calls get their turn in between. */
  #collect(): void {
    const hasMore = this.#core.recovery.more();
    this.#arm(this.#core.wakes.takeEarliest());
    if (this.#core.wakes.isSearching()) this.#arm(Date.now() + WATCH_MS);
    if (hasMore && !this.#collecting) {
      this.#collecting = true;
      setTimeout(() => {
        this.#collecting = false;
        this.#collect();
      }, COLLECT_PAUSE_MS);
    }
    this.#dispatch.kick();
  }

  /** Frames that are lost with the object's memory are asked for again: a timer is enough. */
  #flushLater(at: number | null): void {
    if (at === null) return;
    this.#flushing = true;
    setTimeout(
      () => {
        this.#flushing = false;
        this.#core.flush();
        this.#leave();
      },
      Math.max(0, at - Date.now()),
    );
  }

  /** Every alarm that is set costs a row and a write of its own: one that is due sooner is left alone. */
  #arm(at: number | null): void {
    if (at === null || (this.#alarmAt !== null && this.#alarmAt <= at)) return;
    this.#alarmAt = at;
    void this.ctx.storage.setAlarm(at);
  }

  /** Nothing is due for a while: the alarm moves there, or goes. */
  #rest(until: number | null): void {
    this.#alarmAt = until;
    if (until === null) void this.ctx.storage.deleteAlarm();
    else void this.ctx.storage.setAlarm(until);
  }
}
