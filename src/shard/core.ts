/**
 * The shard without its object: stored state, the transitions over it, and what must leave because of them. It is
 * synchronous and knows no clock and no network, so that tests can drive thousands of interleavings of it.
 *
 * Every method stores what it changed before it returns. What must leave is collected in `outgoing`; the object sends
 * it and calls back with what was acknowledged. What is lost with the object's memory comes back by `recover` and by
 * the sweeps.
 */
import type { ClaimAnswer, ClaimRequest } from "../contract/claim.ts";
import type { EventsReply } from "../contract/event.ts";
import type { PredictionSnapshot, WebhookEvent } from "../contract/prediction.ts";
import type { UsageReport } from "../contract/usage.ts";
import type { Lease } from "../fleet/types.ts";
import type { Reservation } from "../lane/types.ts";
import { createDelivering } from "./delivering.ts";
import { noteCost } from "./cost.ts";
import { grantOf } from "./grant.ts";
import * as machine from "./machine.ts";
import type { Effect } from "./machine.ts";
import { newRow } from "./new-row.ts";
import { createEndedOutbox } from "./ended-outbox.ts";
import { createGranting } from "./granting.ts";
import { createLeases } from "./leases.ts";
import { createOutgoing } from "./outgoing.ts";
import {
  framesAfter,
  mustBeStored,
  nextBeat,
  outliveTheEnd,
  progressOf,
  settleProgress,
  showProgress,
  startFrame,
  tailFrames,
} from "./progress.ts";
import type { Page, Progress } from "./progress.ts";
import { createRecent, MAX_KEPT_CHARS } from "./recent.ts";
import { createRecovery } from "./recovery.ts";
import { createRetention } from "./retention.ts";
import { isFinished, isReadableBy, snapshotOf } from "./row.ts";
import { createScreening } from "./screening.ts";
import { createSettlement, holdsTheSame } from "./settlement.ts";
import type { Settlement } from "./settlement.ts";
import type { Row } from "./row.ts";
import type { Rules } from "./rules.ts";
import { dropWords } from "./sizes.ts";
import { isTooBig } from "./sql.ts";
import type { Sql } from "./sql.ts";
import { createStore } from "./store.ts";
import type { Store } from "./store.ts";
import type { Expired, ScreenedEvent, StreamFrame, Submission, Woken } from "./types.ts";
import { createUnlisted } from "./unlisted.ts";
import { createUsageOutbox } from "./usage-outbox.ts";
import type { UsageOutbox } from "./usage-outbox.ts";
import { createWaking } from "./waking.ts";
import { createWakes } from "./wakes.ts";
import { eventsDue, webhookMessage } from "./webhook-message.ts";

/** `publishes`: ended predictions are to be published. `meters`: usage is to be handed to meters. */
export type CoreDeps = {
  rules: Rules;
  now: () => number;
  newToken: () => string;
  publishes?: boolean;
  meters?: boolean;
};

type Submitted = { created: boolean; row: Row };

export class ShardCore {
  readonly store: Store;
  readonly outgoing = createOutgoing();
  readonly ended: ReturnType<typeof createEndedOutbox>;
  readonly usage: UsageOutbox;
  /** When rows are looked at. */
  readonly wakes: ReturnType<typeof createWakes>;
  /** What shall go. */
  readonly retention: ReturnType<typeof createRetention>;
  /** What may not have left before a start. */
  readonly recovery: ReturnType<typeof createRecovery>;
  /** What plugins get back. */
  readonly settlement: Settlement;
  /** What screening asks for. */
  readonly screening = createScreening((id) => this.#load(id));
  /** Who is granted what. */
  readonly granting: ReturnType<typeof createGranting>;
  readonly #delivering: ReturnType<typeof createDelivering>;
  readonly #deps: CoreDeps;
  readonly #unlisted: ReturnType<typeof createUnlisted>;
  readonly #recent = createRecent();
  readonly #leases: ReturnType<typeof createLeases>;
  readonly #waking: ReturnType<typeof createWaking>;
  /** Told of every change: the prediction, and the frames that it brought. */
  onChange: (id: string, frames: readonly StreamFrame[]) => void = () => {};
  /** Runs what waits until those who were told of a change have looked. */
  soon: (run: () => void) => void = (run) => run();

  constructor(sql: Sql, deps: CoreDeps) {
    this.store = createStore(sql);
    this.#unlisted = createUnlisted(sql, deps);
    this.wakes = createWakes(this.store, this.#unlisted);
    this.ended = createEndedOutbox(sql, deps.publishes ?? false);
    this.usage = createUsageOutbox(sql, deps.now, deps.meters ?? false);
    const parts = {
      ...deps,
      store: this.store,
      outgoing: this.outgoing,
      unlisted: this.#unlisted,
      load: (id: string) => this.#load(id),
      noteWake: this.wakes.note,
    };
    this.retention = createRetention({ ...parts, forget: (id) => this.#recent.forget(id) });
    this.settlement = createSettlement(parts);
    this.#leases = createLeases(deps);
    this.recovery = createRecovery(parts);
    const changing = {
      ...parts,
      alone: <T>(id: string, run: () => T) => this.#recent.alone(id, run),
      save: (progress: Progress, effects: readonly Effect[], settleWake?: boolean) =>
        this.#save(progress, effects, settleWake),
    };
    this.granting = createGranting(changing);
    this.#delivering = createDelivering({
      ...parts,
      alone: changing.alone,
      save: (progress, effects, fresh) => this.#save(progress, effects, false, fresh),
      keep: (progress, frames) => this.#keep(progress, frames),
    });
    const { ended, usage, recovery, retention, settlement, wakes } = this;
    const seen = { ended, usage, recovery, retention, settlement, wakes };
    this.#waking = createWaking({ ...changing, ...seen, leases: this.#leases });
    this.#deps = deps;
  }

  /**
   * Accepts a prediction, idempotently by id: already granted and its start counted with room reserved, as ended with
   * an answer. Null: the id is there with another payload or of another account.
   */
  submit(submission: Submission, reservation: Reservation = { outcome: "waits" }): Submitted | null {
    const { now, rules, newToken } = this.#deps;
    const row = newRow(submission, now(), rules);
    const session = reservation.outcome === "reserved" ? reservation.session : null;
    const effects = session === null ? [] : machine.grantAtOnce(row, { session, token: newToken() }, now(), rules);
    row.wakeAt = machine.dueAt(row, rules);
    const isListed = session === null || !this.#unlisted.mayLeaveOut(row);
    if (!this.store.insert(row, isListed)) {
      const known = this.#load(row.id)?.row;
      const same = known?.accountId === row.accountId && known.payloadHash === row.payloadHash;
      if (session !== null) this.outgoing.unuse(row.fixed.lane, row.id);
      return same ? { created: holdsTheSame(known, row), row: known } : null;
    }
    if (!isListed) this.#unlisted.add(row);
    const progress = progressOf(row, this.store);
    this.#recent.keep(progress);
    this.wakes.note(row);
    if (!row.fed) this.outgoing.feed(row);
    if (session !== null) this.outgoing.grant(session, grantOf(row, now()));
    else if (submission.answer !== undefined) this.#save(progress, machine.answer(row, submission.answer, now()));
    else if (reservation.outcome === "failed") this.#save(progress, machine.fail(row, reservation.error, now()));
    else this.outgoing.hand(row);
    for (const effect of effects) this.#effect(progress, effect);
    return { created: true, row };
  }

  /** The prediction as it is, or null when it isn't there, or isn't the account's. */
  snapshot(id: string, accountId: string | null): PredictionSnapshot | null {
    const progress = this.#own(id, accountId);
    return progress === null ? null : this.#show(progress);
  }

  isWaiting(id: string): boolean {
    return this.#load(id)?.row.state === "waiting";
  }

  /** A page of the frames after `afterSeq` (-1: of all); null when the prediction isn't there. */
  frames(id: string, accountId: string | null, afterSeq: number): Page | null {
    const progress = this.#own(id, accountId);
    return progress === null ? null : framesAfter(progress, afterSeq, this.store);
  }

  /** A reader sees output: from here on another run may not contradict it. Who may not read it changes nothing. */
  markShown(id: string, accountId: string | null): void {
    const progress = this.#own(id, accountId);
    if (progress === null || progress.row.shown || isFinished(progress.row.state)) return;
    progress.row.shown = true;
    this.#save(progress, []);
  }

  cancel(id: string, accountId: string): PredictionSnapshot | null {
    const progress = this.#own(id, accountId);
    if (progress === null) return null;
    if (!isFinished(progress.row.state)) this.#save(progress, machine.cancel(progress.row, this.#deps.now()));
    return this.#show(progress);
  }

  /** The log refuses the job of `id` for good. */
  undeliverable(id: string, message: string): void {
    const progress = this.#load(id);
    // One that was claimed has another record, that the log took.
    if (progress?.row.state !== "waiting") return;
    this.#save(progress, machine.fail(progress.row, { code: "undeliverable", message }, this.#deps.now()));
  }

  /**
   * Until when what the live claim `token` stores is kept at most; null when it isn't live. Whoever asks may leave
   * blobs behind.
   */
  claimKeptUntil(id: string, token: string): number | null {
    const progress = this.#load(id);
    if (progress === null || progress.row.token !== token || isFinished(progress.row.state)) return null;
    if (!progress.row.blobs) {
      progress.row.blobs = true;
      this.#save(progress, []);
    }
    return progress.row.endBy + machine.retentionMsOf(progress.row, this.#deps.rules);
  }

  claim(request: ClaimRequest, lanes: readonly string[]): ClaimAnswer[] {
    return this.granting.claim(request, lanes);
  }

  deliver(
    events: readonly ScreenedEvent[],
    session: string,
    lanes: readonly string[],
    reports?: readonly UsageReport[],
  ): EventsReply {
    return this.#delivering.deliver(events, { session, lanes }, reports);
  }

  /** Handles some of what is due; `more` when there may be more. */
  wake(): Woken {
    return this.#waking.wake();
  }

  /** The client wants the data of a finished prediction gone; an unfinished one stays as it is. */
  removeData(id: string, accountId: string): { prediction: PredictionSnapshot; traces: Expired | null } | null {
    const progress = this.#own(id, accountId);
    if (progress === null) return null;
    const traces = isFinished(progress.row.state) ? this.retention.removeData(progress.row) : null;
    return { prediction: this.#show(progress), traces };
  }

  isPatient(): boolean {
    return this.#leases.isPatient();
  }

  /** What a pool session's lease means for the claims that were asked about. */
  judge(session: string, ids: readonly string[], lease: Lease): void {
    this.granting.judge(session, ids, (row) => this.#leases.judge(row, lease), lease.alive);
  }

  /** Stores frames that waited for their time. */
  flush(): void {
    for (const progress of [...this.#recent.unstored()]) {
      if (this.#deps.now() < nextBeat(progress, this.#deps.rules)) continue;
      this.#recent.alone(progress.row.id, () => this.#save(progress, []));
    }
  }

  /** When `flush` has something to do next; null: nothing waits. */
  nextFlushAt(): number | null {
    let next: number | null = null;
    for (const progress of this.#recent.unstored())
      next = Math.min(next ?? Infinity, nextBeat(progress, this.#deps.rules));
    return next;
  }

  #load(id: string): Progress | null {
    const known = this.#recent.get(id);
    if (known !== undefined) return known;
    const row = this.store.get(id);
    if (row === null) return null;
    const progress = progressOf(row, this.store);
    this.#recent.keep(progress);
    return progress;
  }

  /** `accountId` null: whoever asks has shown a signed link, or is the gateway itself. */
  #own(id: string, accountId: string | null): Progress | null {
    const progress = this.#load(id);
    return accountId === null || (progress !== null && isReadableBy(progress.row, accountId)) ? progress : null;
  }

  #show(progress: Progress): PredictionSnapshot {
    const snapshot = snapshotOf(progress.row, null);
    return isFinished(progress.row.state) ? snapshot : showProgress(snapshot, progress);
  }

  /** Keeps unstored frames in memory until `flush`. */
  #keep(progress: Progress, frames: readonly StreamFrame[]): void {
    this.#recent.keep(progress);
    if (this.#recent.isHeavy() || mustBeStored(progress, frames, this.#deps)) this.#save(progress, [], false, frames);
    else this.onChange(progress.row.id, frames);
  }

  #save(progress: Progress, effects: readonly Effect[], settleWake = false, fresh: readonly StreamFrame[] = []): void {
    const { row } = progress;
    const finished = isFinished(row.state);
    if (finished) {
      settleProgress(progress);
      noteCost(row);
      this.ended.add(row);
      this.settlement.ended(row);
      this.outgoing.canaries.ended(row);
    }
    this.usage.add(row);
    if (!finished || outliveTheEnd(progress)) this.store.addFrames(row.id, progress.frames);
    const told = eventsDue(progress, effects);
    row.shown ||= told.includes("output");
    if (progress.frames.length > 0) progress.storedAt = this.#deps.now();
    progress.frames = [];
    progress.frameChars = 0;
    this.#recent.weigh(progress);
    progress.storedSeq = row.nextSeq;
    if (!row.fed && this.outgoing.isFed(row.id)) row.fed = true;
    if (finished && !row.fed) this.recovery.endedUnfed(row);
    const due = machine.dueAt(row, this.#deps.rules);
    const isListed = row.wakeAt !== null && !this.#unlisted.has(row.id);
    const wakeChanged = settleWake || finished || !isListed || (due !== null && due < (row.wakeAt ?? 0));
    if (wakeChanged) row.wakeAt = due;
    const writtenChars = this.#update(row, wakeChanged);
    this.#unlisted.listed(row.id);
    this.wakes.note(row);
    if (writtenChars > MAX_KEPT_CHARS) this.soon(() => this.#recent.forget(row.id));
    for (const event of told) this.#notify(progress, event);
    for (const effect of effects) this.#effect(progress, effect);
    const began = effects.some((effect) => effect.type === "webhook" && effect.event === "start") ? [startFrame] : [];
    const ended = finished ? tailFrames(row, row.lastFrame > 0) : [];
    this.onChange(row.id, [...began, ...fresh, ...ended]);
  }

  /** What is remembered must be what is stored. What has ended is stored in any case. */
  #update(row: Row, wakeChanged: boolean): number {
    try {
      return this.store.update(row, wakeChanged);
    } catch (error) {
      this.#recent.forget(row.id);
      if (!isFinished(row.state) || !isTooBig(error)) throw error;
      dropWords(row);
      return this.store.update(row, wakeChanged);
    }
  }

  #effect(progress: Progress, effect: Effect): void {
    const { row } = progress;
    if (effect.type === "hand") this.outgoing.hand(row, effect);
    else if (effect.type === "withdraw") this.outgoing.withdraw(row);
    else if (effect.type === "stop") this.outgoing.stop(effect.session, effect.claim);
    else this.#notify(progress, effect.event);
  }

  #notify(progress: Progress, event: WebhookEvent): void {
    const { webhook, webhookEvents } = progress.row.fixed;
    if (webhook === null || !webhookEvents.includes(event)) return;
    this.store.addWebhook(webhookMessage(event, this.#show(progress), this.#deps.now()));
    this.outgoing.webhooksWait();
  }
}
