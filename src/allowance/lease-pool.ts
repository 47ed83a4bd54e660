/** The units of windows that this isolate has leased and not used yet, and what it knows of their buckets. Pure. */
import type { BucketState, Charge, Lease } from "./types.ts";

/** An isolate that keeps its pace has leased enough for about so long. */
const AHEAD_MS = 4000;
/** Leases that are remembered; beyond it the ones that were made first are forgotten: their units count as used. */
const MAX_LEASES = 10_000;
/** A request that asked for more and isn't answered after so long is given up. */
const WANTING_MS = 1000;
/** How long a refusal is taken for granted: a subject that is over its limits costs its object few calls. */
const REFUSAL_MS = 100;

/**
 * `units` may be used from `from` to `until`, in the window `at`. `recent`: about what was used in the last
 * `AHEAD_MS`, as of `usedAt`. `wantedAt`: when more than was needed was asked for, and not answered yet. `refused`:
 * that so much didn't fit.
 */
type LocalLease = {
  units: number;
  at: number;
  from: number;
  until: number;
  limit: number;
  state: BucketState;
  recent: number;
  usedAt: number;
  wantedAt: number;
  refused: { need: number; asOf: number; retryAfterMs: number } | null;
};

export type LeasePool = ReturnType<typeof createLeasePool>;

export function createLeasePool() {
  const leases = new Map<string, LocalLease>();

  function find(charge: Charge, now: number): LocalLease | undefined {
    const lease = isAskedForEachTime(charge) ? undefined : leases.get(keyOf(charge));
    if (lease === undefined) return undefined;
    // A clock that went back says nothing of how long it still holds.
    if (now >= lease.until || now < lease.from || lease.limit !== charge.spec.limit) lease.units = 0;
    return lease;
  }

  function make(charge: Charge, now: number): LocalLease {
    const key = keyOf(charge);
    const known = leases.get(key);
    if (known !== undefined) return known;
    const [oldest] = leases.keys();
    if (leases.size >= MAX_LEASES && oldest !== undefined) leases.delete(oldest);
    const lease: LocalLease = {
      ...{ units: 0, at: 0, from: now, until: now, limit: charge.spec.limit, recent: 0, usedAt: now },
      ...{ state: { remaining: charge.spec.limit, resetMs: 0 }, wantedAt: -Infinity, refused: null },
    };
    leases.set(key, lease);
    return lease;
  }

  function count(lease: LocalLease, amount: number, now: number): void {
    const passed = Math.max(0, now - lease.usedAt);
    lease.recent = lease.recent * Math.exp(-passed / AHEAD_MS) + amount;
    lease.usedAt = now;
  }

  function stateOf(charge: Charge, now: number): BucketState {
    const lease = leases.get(keyOf(charge));
    if (lease === undefined) return { remaining: charge.spec.limit, resetMs: 0 };
    const { state, units, until } = lease;
    return {
      remaining: Math.floor(state.remaining + units),
      resetMs: Math.max(0, Math.min(state.resetMs, until - now)),
    };
  }

  return {
    stateOf,

    /** What is leased of the charge's bucket and not used. */
    unitsOf: (charge: Charge, now: number): number => Math.floor(find(charge, now)?.units ?? 0),

    /** Takes all charges out of leases, or nothing; answers where each was counted, or null. */
    takeAll(charges: readonly Charge[], now: number): number[] | null {
      const found: [Charge, LocalLease][] = [];
      for (const charge of charges) {
        const lease = find(charge, now);
        if (lease === undefined || lease.units < charge.amount || charge.amount > charge.spec.limit) return null;
        found.push([charge, lease]);
      }
      return found.map(([charge, lease]) => {
        lease.units -= charge.amount;
        count(lease, charge.amount, now);
        return lease.at;
      });
    },

    /** Takes what there is towards a charge. */
    takeSome(charge: Charge, now: number): number {
      const lease = find(charge, now);
      if (lease === undefined || charge.amount > charge.spec.limit) return 0;
      const units = Math.min(lease.units, charge.amount);
      lease.units -= units;
      return units;
    },

    putBack(charge: Charge, units: number, now: number): void {
      const lease = units === 0 ? undefined : find(charge, now);
      if (lease !== undefined && now < lease.until) lease.units += units;
    },

    /** How much more than it needs a request should ask for: one of those that are under way does. */
    wanted(charge: Charge, now: number): number {
      const lease = find(charge, now);
      if (lease === undefined || (now >= lease.wantedAt && now - lease.wantedAt < WANTING_MS)) return 0;
      const want = Math.floor(lease.recent);
      if (want > 0) lease.wantedAt = now;
      return want;
    },

    /** The charge was granted by its store, with `units` more that are left for others. */
    add(charge: Charge, granted: Lease, units: number, sentAt: number): void {
      if (isAskedForEachTime(charge)) return;
      const { at, validMs, remaining, resetMs } = granted;
      const lease = make(charge, sentAt);
      // Units of a window that is over are worth nothing; those of a token bucket keep the time that they have.
      if (charge.spec.algorithm !== "token-bucket" && lease.at !== at) lease.units = 0;
      lease.until = lease.units > 0 ? Math.min(lease.until, sentAt + validMs) : sentAt + validMs;
      lease.from = sentAt;
      lease.at = at;
      lease.limit = charge.spec.limit;
      lease.state = { remaining, resetMs };
      lease.units += units;
      lease.wantedAt = -Infinity;
      lease.refused = null;
      count(lease, charge.amount, sentAt);
    },

    noteRefusal(charge: Charge, need: number, retryAfterMs: number | null, state: BucketState, now: number): void {
      if (isAskedForEachTime(charge) || retryAfterMs === null || retryAfterMs < REFUSAL_MS) return;
      const lease = make(charge, now);
      if (lease.units > 0) return;
      lease.refused = { need, asOf: now, retryAfterMs };
      lease.state = state;
    },

    /** In how many milliseconds the charge may fit, if its store said a moment ago that it doesn't; else null. */
    refusedForMs(charge: Charge, now: number): number | null {
      const refused = leases.get(keyOf(charge))?.refused ?? null;
      if (refused === null || charge.amount < refused.need) return null;
      const passed = now - refused.asOf;
      return passed < 0 || passed >= REFUSAL_MS ? null : refused.retryAfterMs - passed;
    },
  };
}

/** Whether its store decides on the charge, whatever was leased. */
export function isAskedForEachTime({ spec, held }: Pick<Charge, "spec" | "held">): boolean {
  return held === true || spec.algorithm === "concurrency";
}

function keyOf({ subject, bucket }: Charge): string {
  return `${subject} ${bucket}`;
}
