/**
 * Whose turn it is at a host that many accounts share. Each account has a window of requests, which grows with what the
 * host answers to it and halves when that fails, and a breaker of its own: a dead URL costs its account's window, and
 * nobody else's. The next to go is of the account with the fewest requests open.
 */
import type { Outcome } from "./attempt.ts";
import { admission, afterFailure, afterSuccess, closedBreaker, FAILURES_TO_OPEN } from "./breaker.ts";
import type { Admission, Breaker } from "./breaker.ts";
import type { Store } from "./store.ts";
import type { StoredMessage } from "./stored-message.ts";

/** What the turns are bounded by. */
export type TurnLimits = {
  /** Requests that are open to the host at a time, all accounts together; one that is alone may have them all. */
  hostRequests: number;
  /**
   * Bodies that are in memory for these requests, all accounts together, and of one account. A single one may be
   * larger.
   */
  inFlightBytes: number;
  accountInFlightBytes: number;
};

/** What an account may have open before anything was answered to it. */
export const FIRST_WINDOW = 5;
/** Requests beyond the host's, for accounts that have none open: nobody waits for what hangs. */
export const RESERVED_REQUESTS = 5;
/** Probes at a time: a host that is down for many accounts is not asked by all of them at once. */
export const MAX_PROBES = 5;
/** Of these, for accounts that get through: dead URLs of many that hang keep back nobody whose own answers. */
const RESERVED_PROBES = 1;
/** How long a message waits for room in memory before others take none. */
const PASSED_OVER_MS = 2000;
/** URLs that probes of an account tell apart. */
const MAX_PROBED_URLS = 100;

const NEVER = Number.MAX_SAFE_INTEGER;

type Account = {
  id: string;
  /** Bytes in flight, by message. */
  inFlight: Map<string, number>;
  window: number;
  breaker: Breaker;
  /** Whether what is in flight is a probe. */
  isProbing: boolean;
  /** Of the message that is the next to go; `NEVER`: there is none. */
  dueAt: number;
  dueBytes: number;
  /** URLs that were probed since the breaker opened. */
  probedUrls: string[];
};

export type Turns = ReturnType<typeof createTurns>;

export function createTurns({ store, limits, now }: { store: Store; limits: TurnLimits; now: () => number }) {
  const accounts = new Map<string, Account>();
  /** Failures of the host since it last answered anybody. */
  let hostFailures = 0;
  let inFlight = 0;
  let inFlightBytes = 0;

  for (const [id, breaker] of store.breakers()) accountOf(id).breaker = breaker;
  for (const id of store.accounts("open")) refresh(id);

  function accountOf(id: string): Account {
    const known = accounts.get(id);
    if (known !== undefined) return known;
    const account: Account = {
      id,
      inFlight: new Map(),
      window: FIRST_WINDOW,
      breaker: closedBreaker,
      isProbing: false,
      dueAt: NEVER,
      dueBytes: 0,
      probedUrls: [],
    };
    accounts.set(id, account);
    return account;
  }

  /** Looks up what the account has to send next: after whatever changed it. */
  function refresh(id: string): void {
    const account = accountOf(id);
    const waiting = store.due(id, NEVER, account.inFlight.size + 1);
    const next = waiting.find((message) => !account.inFlight.has(keyOf(message)));
    account.dueAt = next?.wakeAt ?? NEVER;
    account.dueBytes = next?.bytes ?? 0;
    const isIdle = account.inFlight.size === 0 && next === undefined && account.breaker.openings === 0;
    if (isIdle) accounts.delete(id);
  }

  /** Of a host that has failed for anybody ten times in a row, each account asks by a probe first, and at once. */
  function admissionOf({ breaker }: Account): Admission {
    const own = admission(breaker, now());
    return own === "go" && isSuspect() ? "probe" : own;
  }

  function isSuspect(): boolean {
    return hostFailures >= FAILURES_TO_OPEN;
  }

  function mayGo(account: Account, probes: number): boolean {
    const mine = account.inFlight.size;
    if (account.dueAt > now() || mine >= Math.floor(account.window)) return false;
    if (inFlight >= limits.hostRequests && (mine > 0 || inFlight >= limits.hostRequests + RESERVED_REQUESTS))
      return false;
    if (mine > 0 && bytesOf(account) + account.dueBytes > limits.accountInFlightBytes) return false;
    const state = admissionOf(account);
    const mostProbes = isBroken(account) ? MAX_PROBES - RESERVED_PROBES : MAX_PROBES;
    return state === "go" || (state === "probe" && mine === 0 && probes < mostProbes);
  }

  /** Whether there is room in memory for what it has to send next. */
  function fits({ dueBytes }: Account): boolean {
    return inFlight === 0 || inFlightBytes + dueBytes <= limits.inFlightBytes;
  }

  /** Whether it has none open, and others had their turn before it for long: a larger message finds room by chance. */
  function isPassedOver({ inFlight: own, breaker, dueAt }: Account): boolean {
    return own.size === 0 && breaker.openings === 0 && dueAt <= now() - PASSED_OVER_MS;
  }

  function probe(account: Account): StoredMessage | null {
    const fresh = store.due(account.id, now(), 1, account.probedUrls)[0];
    if (fresh === undefined || account.probedUrls.length >= MAX_PROBED_URLS) account.probedUrls = [];
    const next = fresh ?? store.due(account.id, now(), 1)[0] ?? null;
    if (next !== null) account.probedUrls.push(next.url);
    return next;
  }

  function judge(account: Account, { result, hostFailed }: Outcome): void {
    if (result === "refused" || result === "unsent") return;
    const before = account.breaker;
    if (hostFailed) {
      account.breaker = afterFailure(before, now(), isSuspect() ? 1 : FAILURES_TO_OPEN);
      account.window = Math.max(1, account.window / 2);
      hostFailures += 1;
    } else {
      account.breaker = afterSuccess(before);
      account.window = Math.min(limits.hostRequests, account.window + 1);
      account.probedUrls = [];
      if (isSuspect()) letProbe();
      hostFailures = 0;
    }
    if (account.breaker.openings !== before.openings) store.saveBreaker(account.id, account.breaker);
  }

  /** The host answers again: who gave it up because it was down may ask at once. */
  function letProbe(): void {
    for (const account of accounts.values()) {
      if (account.breaker.openings > 0) account.breaker = { ...account.breaker, openUntil: now() };
    }
  }

  return {
    refresh,

    /** The message whose turn it is; null: none may go now. It counts as in flight from now on. */
    next(): StoredMessage | null {
      const probes = [...accounts.values()].filter(({ isProbing }) => isProbing).length;
      let first: Account | null = null;
      let waitsForRoom = false;
      for (const account of accounts.values()) {
        if (!mayGo(account, probes)) continue;
        if (!fits(account)) waitsForRoom ||= isPassedOver(account);
        else if (first === null || comesBefore(account, first)) first = account;
      }
      // An account with open requests leaves room to one that has none and waits: else that would never have enough.
      if (first === null || (waitsForRoom && first.inFlight.size > 0)) return null;
      const isProbe = admissionOf(first) === "probe";
      const { id, inFlight: sent } = first;
      const due = isProbe ? [probe(first)] : store.due(id, now(), sent.size + 1);
      const message = due.find((one) => one !== null && !sent.has(keyOf(one))) ?? null;
      if (message === null) return null;
      first.isProbing = isProbe;
      sent.set(keyOf(message), message.bytes);
      inFlight += 1;
      inFlightBytes += message.bytes;
      refresh(id);
      return message;
    },

    /**
     * It is not in flight any more; `outcome` null: it was not tried. The caller refreshes once it has stored what
     * became of it.
     */
    over(message: StoredMessage, outcome: Outcome | null): void {
      const account = accountOf(message.accountId);
      const bytes = account.inFlight.get(keyOf(message)) ?? 0;
      if (account.inFlight.delete(keyOf(message))) inFlight -= 1;
      inFlightBytes -= bytes;
      account.isProbing = false;
      if (outcome !== null) judge(account, outcome);
    },

    isInFlight: (message: StoredMessage): boolean =>
      accounts.get(message.accountId)?.inFlight.has(keyOf(message)) ?? false,

    /** How many requests are open. */
    inFlight: (): number => inFlight,

    /** When the next message may go, if nothing in flight ends before; null: none waits. */
    nextAt(): number | null {
      let at = NEVER;
      for (const { dueAt, breaker } of accounts.values()) at = Math.min(at, Math.max(dueAt, breaker.openUntil));
      return at === NEVER ? null : at;
    },

    /** The accounts that don't get through at present. */
    broken: (): string[] => [...accounts.values()].filter(({ breaker }) => breaker.openings > 0).map(({ id }) => id),

    /** Forgets breakers of accounts that send nothing any more. */
    forgetIdle(before: number): void {
      for (const { id, breaker, dueAt, inFlight: sent } of accounts.values()) {
        if (dueAt !== NEVER || sent.size > 0 || breaker.openUntil >= before) continue;
        store.saveBreaker(id, closedBreaker);
        accounts.delete(id);
      }
    },
  };
}

/** Fewer requests open first, then whoever waits longest; probes last, as they may hang. */
function comesBefore(a: Account, b: Account): boolean {
  return (Number(isBroken(a)) - Number(isBroken(b)) || a.inFlight.size - b.inFlight.size || a.dueAt - b.dueAt) < 0;
}

function isBroken({ breaker }: Account): boolean {
  return breaker.openings > 0;
}

function bytesOf({ inFlight }: Account): number {
  let sum = 0;
  for (const bytes of inFlight.values()) sum += bytes;
  return sum;
}

function keyOf({ predictionId, webhookId }: StoredMessage): string {
  return `${predictionId}\n${webhookId}`;
}
