/**
 * One provider entry at work: does what the reconciler finds due, and keeps a sync open at the edge. A sync that is
 * held is broken off as soon as there is more to tell.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import type { SyncRequest } from "../src/contract/provider.ts";
import { RefusedError, SupersededError } from "./edge.ts";
import type { Edge } from "./edge.ts";
import type { Listener } from "./listener.ts";
import { asProviderError } from "./provider.ts";
import type { Balance, Provider } from "./provider.ts";
import type { Action, Reconciler } from "./reconciler.ts";

/** How long a call of the provider may take. */
const LIST_LIMIT_MS = 30_000;
const CREATE_LIMIT_MS = 60_000;
const DESTROY_LIMIT_MS = 60_000;
/** The first sync waits so long for the first list, so that it tells the whole. */
const FIRST_LIST_MS = 10_000;
/** Between two syncs, whatever there is to tell. */
const MIN_GAP_MS = 20;
/** An edge that answers sooner doesn't hold syncs. */
const HELD_MS = 1000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
const LONGEST_SLEEP_MS = 60_000;
/** An edge that rests is asked so often while it can't say that something has changed. */
const DEAF_REST_MS = 2000;
/** How long the edge may take to hear that the service ends. */
const LEAVE_LIMIT_MS = 3000;

export type EntryOptions = {
  provider: Provider;
  reconciler: Reconciler;
  edge: Edge;
  log: Logger;
  /** The service's process, and the one before it on this machine. */
  instance?: { id: string; replaces?: string };
  /** The account has less than this, in billionths: a warning. */
  lowBalanceNano?: number;
  /** How long a create may take before its answer is given up (60,000). */
  createLimitMs?: number;
  /** The edge refused the service before it ever answered it. */
  onRefused: (why: string) => void;
};

export class Entry {
  readonly #options: EntryOptions;
  readonly #stopped = new AbortController();
  #timer: NodeJS.Timeout | null = null;
  /** What the held sync told, and how to break it off. */
  #held: { told: string; news: AbortController; isResting: boolean } | null = null;
  #listener: Listener | null = null;
  /** The edge said that there is news since the last sync began. */
  #hasNews = false;
  #hasListed = Promise.withResolvers<void>();
  #isWelcome = false;
  #hasWarned = false;
  #talk: Promise<void> = Promise.resolve();
  readonly #calls = new Set<Promise<void>>();

  constructor(options: EntryOptions) {
    this.#options = options;
  }

  start(): void {
    const { edge, log, reconciler } = this.#options;
    const onNews = (): void => {
      this.#hasNews = true;
      if (this.#held?.isResting === true) this.#held.news.abort();
    };
    this.#listener = edge.listen?.({ provider: reconciler.report().provider, log, onNews }) ?? null;
    this.#pump();
    this.#talk = this.#keepTalking();
  }

  /** Begins nothing more, and waits for what is under way: a create that is cut off would have to settle. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#listener?.close();
    await this.#talk;
    await Promise.all(this.#calls);
    const { edge, instance } = this.#options;
    if (!this.#isWelcome || instance === undefined) return;
    const last = { ...this.#report(), instance: instance.id, isLeaving: true };
    await edge.sync(last, AbortSignal.timeout(LEAVE_LIMIT_MS)).catch(() => {});
  }

  #pump(): void {
    if (this.#stopped.signal.aborted) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    const now = performance.now();
    const { actions, wakeAtMs } = this.#options.reconciler.due(now);
    for (const action of actions) {
      const call = this.#carryOut(action).then(() => {
        this.#calls.delete(call);
        this.#pump();
      });
      this.#calls.add(call);
    }
    const waitMs = Math.min(LONGEST_SLEEP_MS, Math.max(0, wakeAtMs - performance.now()));
    this.#timer = setTimeout(() => this.#pump(), waitMs);
    if (this.#held !== null && this.#held.told !== JSON.stringify(this.#report())) this.#held.news.abort();
  }

  async #carryOut(action: Action): Promise<void> {
    const { provider, reconciler, log, createLimitMs = CREATE_LIMIT_MS } = this.#options;
    switch (action.type) {
      case "list": {
        const startedMs = performance.now();
        try {
          const seen = await provider.list(AbortSignal.timeout(LIST_LIMIT_MS));
          reconciler.listed(seen, startedMs, performance.now());
        } catch (error) {
          const failure = asProviderError(error);
          log.warn({ why: failure.message }, "the list of machines could not be read");
          reconciler.failedToList(failure, performance.now());
        }
        this.#hasListed.resolve();
        return;
      }
      case "offers":
        return this.#askOffers();
      case "create": {
        const { machine, name, offer } = action.order;
        try {
          const providerId = await provider.create(action.order, AbortSignal.timeout(createLimitMs));
          log.info({ name, offer, providerId }, "machine created");
          reconciler.created(machine, providerId, Date.now(), performance.now());
        } catch (error) {
          const failure = asProviderError(error);
          log.warn({ name, offer, reason: failure.reason, why: failure.message }, "machine not created");
          reconciler.failedToCreate(machine, failure, performance.now());
        }
        return;
      }
      case "destroy": {
        const { providerId, name, why } = action;
        try {
          await provider.destroy(providerId, AbortSignal.timeout(DESTROY_LIMIT_MS));
          log.info({ name, providerId, why }, "machine returned");
          reconciler.returned(providerId, performance.now());
        } catch (error) {
          const failure = asProviderError(error);
          log.warn({ name, providerId, why: failure.message }, "machine could not be returned");
          reconciler.failedToReturn(providerId, failure, performance.now());
        }
        return;
      }
    }
  }

  async #askOffers(): Promise<void> {
    const { provider, reconciler, log, lowBalanceNano } = this.#options;
    try {
      const signal = AbortSignal.timeout(LIST_LIMIT_MS);
      const [offers, balance] = await Promise.all([provider.offers(signal), this.#askBalance(signal)]);
      reconciler.offered(offers, balance, performance.now());
      const isLow = balance !== null && lowBalanceNano !== undefined && balance.nano < lowBalanceNano;
      if (isLow && !this.#hasWarned) log.warn({ balance }, "the account's balance is low");
      this.#hasWarned = isLow;
    } catch (error) {
      const failure = asProviderError(error);
      log.warn({ why: failure.message }, "offers could not be read");
      reconciler.failedToOffer(failure, performance.now());
    }
  }

  /** Null: nobody says. What is left on the account is no condition for renting. */
  async #askBalance(signal: AbortSignal): Promise<Balance | null> {
    const { provider, log } = this.#options;
    try {
      return (await provider.balance?.(signal)) ?? null;
    } catch (error) {
      log.warn({ why: asProviderError(error).message }, "the balance could not be read");
      return null;
    }
  }

  #report(): SyncRequest {
    return this.#options.reconciler.report();
  }

  async #keepTalking(): Promise<void> {
    await Promise.race([this.#hasListed.promise, this.#pause(FIRST_LIST_MS)]);
    let known: string | null = null;
    let failures = 0;
    while (!this.#stopped.signal.aborted) {
      const askedMs = performance.now();
      const report = this.#report();
      const news = new AbortController();
      this.#held = { told: JSON.stringify(report), news, isResting: false };
      this.#hasNews = false;
      const isQuestion = this.#options.reconciler.hasQuestion;
      const { instance } = this.#options;
      const replaces = this.#isWelcome || instance?.replaces === undefined ? {} : { replaces: instance.replaces };
      const named = instance === undefined ? report : { ...report, instance: instance.id, ...replaces };
      const request = known === null || isQuestion ? named : { ...named, known };
      try {
        const signal = AbortSignal.any([news.signal, this.#stopped.signal]);
        const reply = await this.#options.edge.sync(request, signal);
        this.#held = null;
        const isSame = reply.known === known;
        if (failures > 0 || !this.#isWelcome) this.#options.log.info({ desired: reply.desired.length }, "edge answers");
        this.#isWelcome = true;
        failures = 0;
        known = reply.known;
        this.#options.reconciler.heard(reply, askedMs, performance.now());
        this.#pump();
        const isUnheld = isSame && !isQuestion && performance.now() - askedMs < HELD_MS;
        await this.#pause(MIN_GAP_MS);
        // An edge that rests answers at once; it is asked again when it says, or when there is news.
        const mayRest = isUnheld && !this.#hasNews;
        const restMs =
          this.#listener?.isOpen === true ? reply.checkAgainMs : Math.min(DEAF_REST_MS, reply.checkAgainMs);
        if (mayRest) await this.#rest(restMs, JSON.stringify(report));
      } catch (error) {
        this.#held = null;
        if (this.#stopped.signal.aborted) return;
        if (news.signal.aborted) {
          await this.#pause(MIN_GAP_MS);
          continue;
        }
        failures += 1;
        if (error instanceof SupersededError) this.#options.reconciler.superseded();
        this.#failed(error, failures);
        const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (failures - 1));
        await this.#pause(pauseMs * (0.5 + Math.random() / 2));
      }
    }
  }

  /** A pause that ends with the first thing that the edge hasn't been told. */
  async #rest(ms: number, told: string): Promise<void> {
    const news = new AbortController();
    this.#held = { told, news, isResting: true };
    await sleep(ms, undefined, { signal: AbortSignal.any([news.signal, this.#stopped.signal]) }).catch(() => {});
    this.#held = null;
  }

  #failed(error: unknown, failures: number): void {
    const why = error instanceof Error ? error.message : String(error);
    if (error instanceof SupersededError) {
      if (failures === 1) this.#options.log.error({ why }, "another service speaks for this entry");
      return;
    }
    if (failures === 1) this.#options.log.warn({ why }, "no answer of the edge; machines stay as they are");
    if (error instanceof RefusedError && !this.#isWelcome) this.#options.onRefused(why);
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#stopped.signal }).catch(() => {});
  }
}
