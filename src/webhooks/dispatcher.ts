/**
 * What a sender does, free of the platform: clock, SQL and the network are injected. All state is stored before a message leaves; what is in
 * flight is known to memory alone, so that after a reset it is simply due again, with the same `webhook-id`.
 *
 * ```
 *            enqueue                     2xx ──▶ delivered
 *   nothing ─────────▶ pending ──try──▶  410 ──▶ disabled (and all that waits for this URL of this account, when its turn comes)
 *      │                 ▲   ▲           refused target, last failure, too old ──▶ failed
 *      │ behind another  │   └────────── any other failure, until the schedule ends
 *      ▼                 │
 *   waiting ─────────────┘ when the one before has ended; a later message of the same kind ──▶ superseded
 * ```
 */
import { admission, afterFailure, afterSuccess } from "./breaker.ts";
import type { Breaker } from "./breaker.ts";
import type { Outbound, Outcome } from "./attempt.ts";
import { INTERIM_TRIES_BEFORE_COMPLETED, MAX_AGE_MS, nextDelayMs } from "./schedule.ts";
import { isRepeated, LOG_KEPT_MS, toDelivery } from "./store.ts";
import type { Store, StoredMessage } from "./store.ts";
import type { Delivery, RedeliverAnswer, WebhookMessage } from "./types.ts";

export type Limits = {
  /** Requests in flight to this host; one of the platform's six connections stays free for the secret's look-up. */
  maxInFlight: number;
  /** Of these, one account's: its hanging URL leaves room for the others on a host that many share. */
  maxInFlightPerAccount: number;
  /** Messages that may wait for one host; those above are logged as failed. */
  maxOpen: number;
  /** Finished rows that the log keeps. */
  maxFinished: number;
};

export const defaultLimits: Limits = {
  maxInFlight: 5,
  maxInFlightPerAccount: 3,
  maxOpen: 200_000,
  maxFinished: 20_000,
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
};

/** Rows that one run looks at. */
const ROWS_PER_RUN = 500;
/** When to look again for what is in flight: past its time-out. */
const IN_FLIGHT_CHECK_MS = 15_000;
/** When to try again what did not leave by a fault on our side. */
const UNSENT_RETRY_MS = 5_000;

export class Dispatcher {
  readonly #deps: DispatcherDeps;
  readonly #inFlight = new Map<string, { accountId: string; done: Promise<void> }>();
  #breaker: Breaker;
  /** Whose messages were probes since the breaker opened. */
  #probed: { accountId: string; url: string }[] = [];
  #counts: { open: number; finished: number };
  /** While these accounts are at their cap, no other has anything due before `until`: to look again would cost all that waits. */
  #idle: { accounts: string; until: number } | null = null;

  constructor(deps: DispatcherDeps) {
    this.#deps = deps;
    this.#breaker = deps.store.loadBreaker();
    this.#counts = deps.store.counts();
  }

  get breaker(): Breaker {
    return this.#breaker;
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  /** Stores messages, each once by its `webhookId`, and begins to send. What it returned from is durable. */
  enqueue(messages: readonly WebhookMessage[]): void {
    const ordered = [...messages].sort((a, b) => a.createdAt - b.createdAt || rank(a) - rank(b));
    this.#deps.transaction(() => {
      for (const message of ordered) this.#accept(message);
    });
    this.pump();
  }

  deliveries(predictionId: string): Delivery[] {
    return this.#deps.store.ofPrediction(predictionId).map(toDelivery);
  }

  /**
   * Sends a message again at once, whatever became of it, with its whole schedule before it; its URL is enabled again. One that waits for
   * an earlier one of its prediction goes on waiting.
   */
  redeliver(predictionId: string, webhookId: string): RedeliverAnswer {
    const { store } = this.#deps;
    const message = store.find(predictionId, webhookId);
    if (message === null) return "not_found";
    if (message.state === "waiting") return "queued";
    if (store.body(message) === null) return "gone";
    store.enable(message.accountId, message.url);
    if (message.finishedAt !== null) this.#count({ open: 1, finished: -1 });
    store.update({
      ...message,
      state: "pending",
      wakeAt: this.#deps.now(),
      finishedAt: null,
      failures: 0,
      reason: null,
    });
    store.renew(message, this.#deps.now());
    this.#idle = null;
    this.pump();
    return "queued";
  }

  /**
   * The data of these predictions is gone: so are the bodies of their messages and what receivers answered. Those that wait are still sent
   * (`keep`), and forgotten with their end, or end now (`drop`).
   */
  forget(predictionIds: readonly string[], waiting: "keep" | "drop"): void {
    const { store, now, transaction } = this.#deps;
    transaction(() => {
      for (const id of predictionIds) {
        const open = store.ofPrediction(id).filter(({ finishedAt }) => finishedAt === null);
        if (waiting === "drop") {
          for (const message of open) this.#finish(message, "failed", "The prediction's data was removed.");
        }
        if (waiting === "drop" || open.length > 0) store.forget(id, now(), waiting === "drop");
        store.erase(id);
      }
      store.pruneForgotten(now() - LOG_KEPT_MS - MAX_AGE_MS);
    });
    this.#schedule();
  }

  /** The alarm's work. True when there is more to do at once. */
  wake(): boolean {
    const { store, limits, now } = this.#deps;
    let more = this.#giveUpOld();
    const surplus = Math.min(this.#counts.finished - limits.maxFinished, ROWS_PER_RUN);
    const pruned = store.prune(now(), ROWS_PER_RUN) + (surplus > 0 ? store.prune(Number.MAX_SAFE_INTEGER, surplus) : 0);
    this.#count({ open: 0, finished: -pruned });
    if (pruned > 0) store.pruneDisabled(now() - LOG_KEPT_MS);
    more ||= pruned >= ROWS_PER_RUN;
    this.pump();
    return more;
  }

  /** Sends what is due, as far as breaker and caps let it, and says when to look again. */
  pump(): void {
    const { store, limits, now } = this.#deps;
    while (this.#inFlight.size < limits.maxInFlight) {
      const state = admission(this.#breaker, now());
      if (state === "wait" || (state === "probe" && this.#inFlight.size > 0)) break;
      const message = state === "probe" ? this.#nextProbe() : this.#next();
      if (message === null) break;
      if (store.isDisabled(message.accountId, message.url)) {
        this.#end(message, "disabled", "The receiver answered 410 Gone for this URL before.");
      } else {
        this.#send(message);
      }
    }
    this.#schedule();
  }

  /** Resolves when nothing is in flight. */
  async settled(): Promise<void> {
    while (this.#inFlight.size > 0) await Promise.all([...this.#inFlight.values()].map(({ done }) => done));
  }

  #accept(message: WebhookMessage): void {
    const { store, limits, now } = this.#deps;
    if (store.find(message.predictionId, message.webhookId) !== null || store.isDropped(message.predictionId)) return;
    const others = store.ofPrediction(message.predictionId);
    const logEnd = now() + LOG_KEPT_MS;
    if (isOvertaken(message, others)) {
      store.insert(message, "superseded", logEnd, "The prediction had completed.");
      this.#count({ open: 0, finished: 1 });
    } else if (this.#counts.open >= limits.maxOpen) {
      store.insert(message, "failed", logEnd, "Too many messages wait for this host.");
      this.#count({ open: 0, finished: 1 });
    } else {
      for (const other of others) {
        if (!isRepeated(message.event) || other.event !== message.event || other.state !== "waiting") continue;
        this.#finish(other, "superseded", "A later message says the same and more.");
      }
      const isNext = !others.some((other) => other.finishedAt === null);
      store.insert(message, isNext ? "pending" : "waiting", isNext ? now() : null, null);
      this.#becomesDue(message.accountId, now());
      this.#count({ open: 1, finished: 0 });
    }
  }

  #next(): StoredMessage | null {
    const { store, limits, now } = this.#deps;
    const perAccount = new Map<string, number>();
    for (const { accountId } of this.#inFlight.values()) {
      perAccount.set(accountId, (perAccount.get(accountId) ?? 0) + 1);
    }
    const full = [...perAccount].filter(([, count]) => count >= limits.maxInFlightPerAccount).map(([id]) => id);
    const accounts = JSON.stringify(full);
    if (this.#idle?.accounts === accounts && now() < this.#idle.until) return null;
    const candidates = store.due(now(), this.#inFlight.size + 1, { accounts: full });
    const next = candidates.find((message) => !this.#inFlight.has(keyOf(message))) ?? null;
    if (next === null && full.length > 0) this.#idle = { accounts, until: store.nextDueAt(now()) ?? Infinity };
    return next;
  }

  #becomesDue(accountId: string, at: number): void {
    if (this.#idle === null || this.#idle.accounts.includes(JSON.stringify(accountId))) return;
    this.#idle.until = Math.min(this.#idle.until, at);
  }

  /**
   * Probes go to the accounts in turn, and of one account's to its URLs: a URL that always fails, with however many messages, keeps nobody from
   * being the one that closes the breaker.
   */
  #nextProbe(): StoredMessage | null {
    const { store, now } = this.#deps;
    const first = (without: Parameters<Store["due"]>[2]) => store.due(now(), 1, without)[0];
    const accounts = [...new Set(this.#probed.map(({ accountId }) => accountId))];
    const urls = [...new Set(this.#probed.map(({ url }) => url))];
    const fresh = first({ accounts }) ?? first({ urls });
    if (fresh === undefined) this.#probed = [];
    const next = fresh ?? first({});
    if (next !== undefined) this.#probed.push(next);
    return next ?? null;
  }

  #send(message: StoredMessage): void {
    const { store, attempt, now } = this.#deps;
    const key = keyOf(message);
    const body = store.body(message);
    if (body === null) {
      this.#end(message, "failed", "The body is not there any more.");
      return;
    }
    const startedAt = now();
    const done = attempt({ ...message, body }).then((outcome) => {
      this.#inFlight.delete(key);
      this.#settle(message, outcome, startedAt);
      this.pump();
    });
    this.#inFlight.set(key, { accountId: message.accountId, done });
  }

  #settle(sent: StoredMessage, outcome: Outcome, startedAt: number): void {
    const { store, now, random } = this.#deps;
    this.#judgeHost(outcome);
    const stored = store.find(sent.predictionId, sent.webhookId);
    if (stored === null || stored.state !== "pending") return;
    if (outcome.result === "unsent") {
      store.update({ ...stored, wakeAt: now() + UNSENT_RETRY_MS });
      this.#becomesDue(stored.accountId, now() + UNSENT_RETRY_MS);
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
    this.#becomesDue(tried.accountId, now() + delayMs);
  }

  /** An interim message that fails on and on must not keep the end of its prediction from the receiver. */
  #holdsUp(message: StoredMessage): boolean {
    if (message.event === "completed" || message.failures < INTERIM_TRIES_BEFORE_COMPLETED) return false;
    const others = this.#deps.store.ofPrediction(message.predictionId);
    return others.some((other) => other.event === "completed" && other.state === "waiting");
  }

  #judgeHost(outcome: Outcome): void {
    const before = this.#breaker;
    if (outcome.result === "refused" || outcome.result === "unsent") return;
    this.#breaker = outcome.hostFailed ? afterFailure(before, this.#deps.now()) : afterSuccess(before);
    if (this.#breaker.openings !== before.openings) this.#deps.store.saveBreaker(this.#breaker);
    if (this.#breaker.openings === 0) this.#probed = [];
  }

  /** Ends a message and lets the next of its prediction go. */
  #end(message: StoredMessage, state: Delivery["state"], reason: string | null): void {
    this.#deps.transaction(() => {
      this.#finish(message, state, reason);
      const others = this.#deps.store.ofPrediction(message.predictionId);
      const next = others.find((other) => other.state === "waiting");
      if (next === undefined || others.some((other) => other.state === "pending")) return;
      this.#deps.store.update({ ...next, state: "pending", wakeAt: this.#deps.now() });
      this.#becomesDue(next.accountId, this.#deps.now());
    });
  }

  #finish(message: StoredMessage, state: Delivery["state"], reason: string | null): void {
    const now = this.#deps.now();
    this.#deps.store.update({ ...message, state, reason, finishedAt: now, wakeAt: now + LOG_KEPT_MS });
    const trimmed = isRepeated(message.event) ? this.#deps.store.trim(message.predictionId) : 0;
    this.#count({ open: -1, finished: 1 - trimmed });
  }

  /** While the breaker is open messages come due without being tried: the oldest are given up here. */
  #giveUpOld(): boolean {
    const { store, now } = this.#deps;
    if (admission(this.#breaker, now()) === "go") return false;
    const late = store.late(now(), now() - MAX_AGE_MS, ROWS_PER_RUN);
    const old = late.filter((message) => !this.#inFlight.has(keyOf(message)));
    for (const message of old) this.#end(message, "failed", "The host did not answer for three days.");
    return old.length === ROWS_PER_RUN;
  }

  #schedule(): void {
    const { store, wakeAt } = this.#deps;
    const now = this.#deps.now();
    const state = admission(this.#breaker, now);
    if (this.#inFlight.size > 0) wakeAt(now + IN_FLIGHT_CHECK_MS);
    const notBefore = state === "wait" ? this.#breaker.openUntil : now;
    const dueAt = this.#inFlight.size === 0 && store.hasDue(now) ? now : store.nextDueAt(now);
    if (dueAt !== null) wakeAt(Math.max(dueAt, notBefore));
    const pruneAt = store.nextPruneAt();
    if (pruneAt !== null) wakeAt(this.#counts.finished > this.#deps.limits.maxFinished ? now : pruneAt);
  }

  #count(change: { open: number; finished: number }): void {
    this.#counts = { open: this.#counts.open + change.open, finished: this.#counts.finished + change.finished };
  }
}

/** Whether an interim message comes after the end of its prediction, or too late to be sent before it. */
function isOvertaken(message: WebhookMessage, others: readonly StoredMessage[]): boolean {
  const completed = others.find((other) => other.event === "completed");
  if (completed === undefined || message.event === "completed") return false;
  return completed.state !== "waiting" || message.createdAt > completed.createdAt;
}

function keyOf(message: StoredMessage): string {
  return `${message.predictionId}\n${message.webhookId}`;
}

function rank(message: WebhookMessage): number {
  return message.event === "start" ? 0 : message.event === "completed" ? 2 : 1;
}
