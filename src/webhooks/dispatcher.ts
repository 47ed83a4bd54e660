/**
 * What a sender does, free of the platform: clock, SQL and the network are injected. All state is stored before a
 * message leaves; what is in flight is known to memory alone, so that after a reset it is simply due again, with the
 * same `webhook-id`.
 *
 * ```
 *            enqueue                     2xx ──▶ delivered
 *   nothing ─────────▶ pending ──try──▶  410 ──▶ disabled (so is the account's next message to that URL)
 *      │                 ▲   ▲           refused target, last failure, too old ──▶ failed
 *      │ behind another  │   └────────── any other failure, until the schedule ends
 *      ▼                 │
 *   waiting ─────────────┘ when the one before has ended; a later message of the same kind ──▶ superseded
 * ```
 */
import { log, reasonOf } from "../telemetry/log.ts";
import type { Outbound, Outcome } from "./attempt.ts";
import { INTERIM_TRIES_BEFORE_COMPLETED, MAX_AGE_MS, nextDelayMs } from "./schedule.ts";
import { LOG_KEPT_MS } from "./store.ts";
import type { Store } from "./store.ts";
import { bytesOf, isRepeated, toDelivery } from "./stored-message.ts";
import type { StoredMessage } from "./stored-message.ts";
import { createTurns } from "./turns.ts";
import type { TurnLimits, Turns } from "./turns.ts";
import type { Delivery, RedeliverAnswer, WebhookMessage } from "./types.ts";
import { createUsage } from "./usage.ts";
import type { UsageLimits } from "./usage.ts";

export type Limits = TurnLimits & UsageLimits;

const MIB = 1024 * 1024;

export const defaultLimits: Limits = {
  hostRequests: 20,
  inFlightBytes: 24 * MIB,
  accountInFlightBytes: 12 * MIB,
  accountBytes: 256 * MIB,
  accountLogBytes: 64 * MIB,
  hostBytes: 4096 * MIB,
  crowdedAccountBytes: MIB,
};

export type DispatcherDeps = {
  store: Store;
  limits: Limits;
  now: () => number;
  /** In [0, 1). */
  random: () => number;
  /** Sends a message once; never rejects. */
  attempt: (message: Outbound) => Promise<Outcome>;
  /** Runs its argument in one storage transaction. */
  transaction: (change: () => void) => void;
  /** Sees to it that `wake` is called at that time, or earlier. */
  wakeAt: (at: number) => void;
  /** What the whole database takes. */
  databaseBytes: () => number;
};

/** Rows that one run looks at. */
const ROWS_PER_RUN = 500;
/** Rows of an account's log that go together when it is too large: more than can have come since it was looked at. */
const EVICTED_ROWS = 1000;
/** How long the breaker of an account that sends nothing is remembered. */
const BREAKER_KEPT_MS = 86_400_000;
/** When to look again for what is in flight: past its time-out. */
const IN_FLIGHT_CHECK_MS = 15_000;
/** When to try again what did not leave by a fault on our side. */
const UNSENT_RETRY_MS = 5_000;

export class Dispatcher {
  readonly #deps: DispatcherDeps;
  readonly #turns: Turns;
  readonly #usage: ReturnType<typeof createUsage>;
  readonly #sending = new Map<StoredMessage, Promise<void>>();
  /** Accounts of messages of which it could not be stored what became of them: they are due still. */
  readonly #unsettled = new Set<string>();
  /** When the oldest row of the log ends, at the earliest. */
  #pruneAt: number | null;

  constructor(deps: DispatcherDeps) {
    this.#deps = deps;
    this.#turns = createTurns(deps);
    this.#usage = createUsage(deps.store, deps.limits, deps.databaseBytes);
    this.#pruneAt = this.#oldestLogEnd();
  }

  /** Stores messages, each once by its `webhookId`, and begins to send. What it returned from is durable. */
  enqueue(messages: readonly WebhookMessage[]): void {
    const ordered = [...messages].sort((a, b) => a.createdAt - b.createdAt || rank(a) - rank(b));
    try {
      this.#deps.transaction(() => {
        for (const message of ordered) this.#accept(message);
      });
    } catch (error) {
      this.#usage.forgetAll();
      throw error;
    }
    for (const accountId of new Set(ordered.map((message) => message.accountId))) this.#settleAccount(accountId);
    this.pump();
  }

  deliveries(predictionId: string): Delivery[] {
    return this.#deps.store.ofPrediction(predictionId).map(toDelivery);
  }

  /**
   * Sends a message again at once, whatever became of it, with its whole schedule before it; its URL is enabled again.
   * One that waits for an earlier one of its prediction goes on waiting.
   */
  redeliver(predictionId: string, webhookId: string): RedeliverAnswer {
    const { store } = this.#deps;
    const message = store.find(predictionId, webhookId);
    if (message === null) return "not_found";
    if (message.state === "waiting") return "queued";
    if (store.body(message) === null) return "gone";
    store.enable(message.accountId, message.url);
    store.update({
      ...message,
      state: "pending",
      wakeAt: this.#deps.now(),
      finishedAt: null,
      failures: 0,
      reason: null,
    });
    store.renew(message, this.#deps.now());
    this.#usage.forget(message.accountId);
    this.#turns.refresh(message.accountId);
    this.pump();
    return "queued";
  }

  /**
   * The data of these predictions is gone: so are the bodies of their messages and what receivers answered. Those that
   * wait are still sent (`keep`), and forgotten with their end, or end now (`drop`).
   */
  forget(predictionIds: readonly string[], waiting: "keep" | "drop"): void {
    const { store, now, transaction } = this.#deps;
    const accounts = new Set<string>();
    transaction(() => {
      for (const id of predictionIds) {
        const all = store.ofPrediction(id);
        for (const { accountId } of all) accounts.add(accountId);
        const open = all.filter(({ finishedAt }) => finishedAt === null);
        if (waiting === "drop") {
          for (const message of open) this.#finish(message, "failed", "The prediction's data was removed.");
        }
        if (waiting === "drop" || open.length > 0) store.forget(id, now(), waiting === "drop");
        store.erase(id);
      }
    });
    for (const accountId of accounts) {
      this.#usage.forget(accountId);
      this.#turns.refresh(accountId);
    }
    this.#schedule();
  }

  /** The alarm's work. True when there is more to do at once. */
  wake(): boolean {
    const { now } = this.#deps;
    const more = [this.#giveUpOld(), this.#pruneLog()].includes(true);
    this.#turns.forgetIdle(now() - BREAKER_KEPT_MS);
    for (const accountId of this.#unsettled) this.#turns.refresh(accountId);
    this.#unsettled.clear();
    this.pump();
    return more;
  }

  /** Sends what may go, and says when to look again. */
  pump(): void {
    const { store, now, wakeAt } = this.#deps;
    let untried = 0;
    for (let message = this.#turns.next(); message !== null; message = this.#turns.next()) {
      if (!store.isDisabled(message.accountId, message.url)) {
        this.#send(message);
        continue;
      }
      this.#turns.over(message, null);
      this.#end(message, "disabled", "The receiver answered 410 Gone for this URL before.");
      untried += 1;
      if (untried >= ROWS_PER_RUN) {
        wakeAt(now());
        break;
      }
    }
    this.#schedule();
  }

  /** Resolves when nothing is in flight. */
  async settled(): Promise<void> {
    while (this.#sending.size > 0) await Promise.all(this.#sending.values());
  }

  #accept(message: WebhookMessage): void {
    const { store, now } = this.#deps;
    const { accountId } = message;
    if (store.find(message.predictionId, message.webhookId) !== null || store.isDropped(message.predictionId)) return;
    const others = store.ofPrediction(message.predictionId);
    if (isOvertaken(message, others)) return this.#log(message, "superseded", "The prediction had completed.");
    const bound = this.#usage.refusal(accountId, bytesOf(message));
    if (bound !== null) {
      const mib = Math.floor(bound / MIB);
      return this.#log(message, "failed", `More than ${mib} MiB of this account's messages would wait for this host.`);
    }
    for (const other of others) {
      if (!isRepeated(message.event) || other.event !== message.event || other.state !== "waiting") continue;
      this.#finish(other, "superseded", "A later message says the same and more.");
    }
    const isNext = !others.some((other) => other.finishedAt === null);
    const openBytes = store.insert(message, isNext ? "pending" : "waiting", isNext ? now() : null, null);
    this.#usage.change(accountId, { openBytes, logBytes: 0 });
  }

  /** Stores a message that is over when it comes. */
  #log(message: WebhookMessage, state: Delivery["state"], reason: string): void {
    const endsAt = this.#deps.now() + LOG_KEPT_MS;
    const logBytes = this.#deps.store.insert(message, state, endsAt, reason);
    this.#logged(endsAt);
    this.#usage.change(message.accountId, { openBytes: 0, logBytes });
  }

  #logged(endsAt: number): void {
    this.#pruneAt = Math.min(this.#pruneAt ?? endsAt, endsAt);
  }

  /** After whatever changed an account's messages: its log is within its bound, and its turn comes. */
  #settleAccount(accountId: string): void {
    this.#evict(accountId);
    this.#turns.refresh(accountId);
  }

  /** Makes room in an account's log that is too large. */
  #evict(accountId: string): void {
    const surplus = this.#usage.logSurplus(accountId);
    if (surplus <= 0) return;
    const freed = this.#deps.store.evict(accountId, surplus, EVICTED_ROWS);
    this.#usage.change(accountId, { openBytes: 0, logBytes: -freed });
  }

  #send(message: StoredMessage): void {
    const { store, attempt, now } = this.#deps;
    const body = store.body(message);
    if (body === null) {
      this.#turns.over(message, null);
      this.#end(message, "failed", "The body is not there any more.");
      return;
    }
    const startedAt = now();
    const done = attempt({ ...message, body }).then((outcome) => {
      this.#sending.delete(message);
      try {
        this.#turns.over(message, outcome);
        this.#settle(message, outcome, startedAt);
        this.#settleAccount(message.accountId);
      } catch (error) {
        log.error("webhook_not_settled", { predictionId: message.predictionId, reason: reasonOf(error) });
        this.#unsettled.add(message.accountId);
        this.#deps.wakeAt(now() + UNSENT_RETRY_MS);
      }
      this.pump();
    });
    this.#sending.set(message, done);
  }

  #settle(sent: StoredMessage, outcome: Outcome, startedAt: number): void {
    const { store, now, random } = this.#deps;
    const stored = store.find(sent.predictionId, sent.webhookId);
    if (stored === null || stored.state !== "pending") return;
    if (outcome.result === "unsent") {
      store.update({ ...stored, wakeAt: now() + UNSENT_RETRY_MS });
      return;
    }
    const tried: StoredMessage = {
      ...stored,
      tryCount: stored.tryCount + 1,
      tries: [
        ...stored.tries,
        { at: startedAt, status: outcome.status, durationMs: now() - startedAt, error: outcome.error },
      ],
      response: outcome.response,
    };
    if (outcome.result === "delivered") return this.#end(tried, "delivered", null);
    if (outcome.result === "refused") return this.#end(tried, "failed", outcome.error);
    if (outcome.result === "gone") {
      store.disable(tried.accountId, tried.url, now());
      return this.#end(tried, "disabled", outcome.error);
    }
    const failures = tried.failures + 1;
    const delayMs = nextDelayMs(failures, outcome.retryAfterMs, random());
    if (delayMs === null || this.#holdsUp({ ...tried, failures })) {
      return this.#end({ ...tried, failures }, "failed", outcome.error);
    }
    store.update({ ...tried, failures, wakeAt: now() + delayMs });
  }

  /** An interim message that fails on and on must not keep the end of its prediction from the receiver. */
  #holdsUp(message: StoredMessage): boolean {
    if (message.event === "completed" || message.failures < INTERIM_TRIES_BEFORE_COMPLETED) return false;
    const others = this.#deps.store.ofPrediction(message.predictionId);
    return others.some((other) => other.event === "completed" && other.state === "waiting");
  }

  /** Ends a message and lets the next of its prediction go. */
  #end(message: StoredMessage, state: Delivery["state"], reason: string | null): void {
    this.#deps.transaction(() => {
      this.#finish(message, state, reason);
      const others = this.#deps.store.ofPrediction(message.predictionId);
      const next = others.find((other) => other.state === "waiting");
      if (next === undefined || others.some((other) => other.state === "pending")) return;
      this.#deps.store.update({ ...next, state: "pending", wakeAt: this.#deps.now() });
    });
    this.#turns.refresh(message.accountId);
  }

  #finish(message: StoredMessage, state: Delivery["state"], reason: string | null): void {
    const { store, now } = this.#deps;
    const endsAt = now() + LOG_KEPT_MS;
    const logBytes = store.update({ ...message, state, reason, finishedAt: now(), wakeAt: endsAt });
    const trimmed = isRepeated(message.event) ? store.trim(message.predictionId) : 0;
    this.#logged(endsAt);
    this.#usage.change(message.accountId, { openBytes: -message.bytes, logBytes: logBytes - trimmed });
  }

  /** While an account's breaker is open its messages come due without being tried: the oldest are given up here. */
  #giveUpOld(): boolean {
    const { store, now } = this.#deps;
    let left = ROWS_PER_RUN;
    for (const accountId of this.#turns.broken()) {
      const late = store.late(accountId, now(), now() - MAX_AGE_MS, left);
      const old = late.filter((message) => !this.#turns.isInFlight(message));
      for (const message of old) this.#end(message, "failed", "The host did not answer for three days.");
      left -= old.length;
      if (left <= 0) return true;
    }
    return false;
  }

  /**
   * Deletes what has been in the log for its time, and of accounts whose log is too large the oldest; whether there is
   * more.
   */
  #pruneLog(): boolean {
    const { store, now } = this.#deps;
    const isCrowded = this.#usage.isCrowded();
    if (!isCrowded && (this.#pruneAt === null || this.#pruneAt > now())) return false;
    let left = ROWS_PER_RUN;
    for (const accountId of store.accounts("log")) {
      if (isCrowded) this.#evict(accountId);
      const { rows, bytes } = store.prune(accountId, now(), left);
      this.#usage.change(accountId, { openBytes: 0, logBytes: -bytes });
      left -= rows;
      if (left <= 0) return true;
    }
    store.pruneDisabled(now() - LOG_KEPT_MS);
    store.pruneForgotten(now() - LOG_KEPT_MS - MAX_AGE_MS);
    this.#pruneAt = this.#oldestLogEnd();
    return this.#pruneAt !== null && this.#pruneAt <= now();
  }

  #oldestLogEnd(): number | null {
    const { store } = this.#deps;
    const ends = store.accounts("log").map((accountId) => store.nextPruneAt(accountId) ?? Infinity);
    const first = Math.min(...ends);
    return first === Infinity ? null : first;
  }

  #schedule(): void {
    const { wakeAt, now } = this.#deps;
    if (this.#turns.inFlight() > 0) wakeAt(now() + IN_FLIGHT_CHECK_MS);
    const dueAt = this.#turns.nextAt();
    // What is due and may not go yet goes when something in flight has ended.
    if (dueAt !== null && (dueAt > now() || this.#turns.inFlight() === 0)) wakeAt(Math.max(dueAt, now()));
    if (this.#pruneAt !== null) wakeAt(this.#pruneAt);
  }
}

/** Whether an interim message comes after the end of its prediction, or too late to be sent before it. */
function isOvertaken(message: WebhookMessage, others: readonly StoredMessage[]): boolean {
  const completed = others.find((other) => other.event === "completed");
  if (completed === undefined || message.event === "completed") return false;
  return completed.state !== "waiting" || message.createdAt > completed.createdAt;
}

function rank(message: WebhookMessage): number {
  return message.event === "start" ? 0 : message.event === "completed" ? 2 : 1;
}
