/**
 * The money of one subject (an account with its keys, or a model): what was spent of each budget, what is reserved, and
 * the balance that was paid in. Exact: everything is stored before it is told, nothing is written ahead, and a
 * reservation ends once, however often its end comes and whatever restarts in between.
 *
 *   take ─▶ held ──settle──▶ its cost is settled, the rest goes back
 *             ├─ nobody told of its end in time ─▶ over: all goes back ──settle, late──▶ its cost is settled
 *             └─ settled by an estimate ─▶ over: that is settled ──settle, once more──▶ the difference is settled
 *
 * Rows for each prediction: one when it is reserved, one and one of each bucket when it ends. A prediction counts in
 * the day and the month in which it was reserved.
 */
import type { BucketState, MoneySpec } from "../../plugins/kernel/allowance.ts";
import type { Ask, Group, GroupAnswer, Lease, Settlement } from "../allowance/types.ts";
import { MAX_NANO } from "../contract/price.ts";
import { alertOf, levelsOf, toldAfterPayment } from "./alerts.ts";
import { endOf, startOf } from "./calendar.ts";
import type { Bucket, Held, LedgerRows, Paid } from "./rows.ts";

/** The end of one whose time was over may come for so long. */
const REMEMBERED_MS = 30 * 86_400_000;
/** Ends that may overtake the beginnings of their reservations are remembered by this object alone. */
const MAX_ENDED = 10_000;
/** Reservations that were settled by an estimate and may still be corrected: beyond, the oldest estimate is final. */
const MAX_CORRECTABLE = 10_000;

/** Of one bucket, as it is now. `at`: when its period began. */
export type LedgerState = { settled: number; reserved: number; paid: number; at: number };

export type Ledger = ReturnType<typeof createLedger>;

export function createLedger(rows: LedgerRows, maxCorrectable = MAX_CORRECTABLE) {
  const reserved = new Map<string, number>();
  const ended = new Set<string>();
  let nextExpiry = Infinity;
  let hasNews = rows.alerts().length > 0;
  const stored = rows.allHeld();
  for (const [, held] of stored) if (held.isOver !== true) count(held, 1);
  const correctable = new Set(
    stored
      .filter(([, { charges }]) => charges.some(({ settled }) => settled !== undefined))
      .toSorted(([, a], [, b]) => a.expiresAt - b.expiresAt)
      .map(([id]) => id),
  );

  function count({ charges, expiresAt }: Held, sign: 1 | -1): void {
    for (const { bucket, at, amount } of charges) {
      const sum = (reserved.get(keyOf(bucket, at)) ?? 0) + sign * amount;
      if (sum === 0) reserved.delete(keyOf(bucket, at));
      else reserved.set(keyOf(bucket, at), sum);
    }
    if (sign === 1) nextExpiry = Math.min(nextExpiry, expiresAt);
  }

  /** As it is now; what changes by that is stored with what is done next. */
  function bucketOf(name: string, spec: MoneySpec, now: number): Bucket {
    const period = periodOf(spec);
    const start = startOf(period, now);
    const known = rows.bucket(name) ?? { at: start, settled: 0, paid: 0, limit: spec.limit, alerted: 0 };
    const bucket = { ...known, limit: spec.limit };
    if (spec.alert !== undefined) bucket.alert = spec.alert;
    else if (spec.quiet !== true) delete bucket.alert;
    if (start > known.at) return { ...bucket, at: start, settled: 0, alerted: 0 };
    // A clock that went back by less than a period stays in the one that it had reached.
    const end = endOf(period, start);
    if (start === known.at || end === null || known.at <= end) return bucket;
    moveHeld(name, known.at, start);
    const moved = { ...bucket, at: start };
    rows.putBucket(name, moved);
    return moved;
  }

  /** What was counted in a time that the clock had jumped to counts in this one. */
  function moveHeld(name: string, from: number, to: number): void {
    for (const [id, held] of rows.allHeld()) {
      if (!held.charges.some(({ bucket, at }) => bucket === name && at === from)) continue;
      if (held.isOver !== true) count(held, -1);
      const charges = held.charges.map((one) => (one.bucket === name && one.at === from ? { ...one, at: to } : one));
      rows.putHeld(id, { ...held, charges });
      if (held.isOver !== true) count({ ...held, charges }, 1);
    }
  }

  function roomOf(name: string, spec: MoneySpec, { limit, paid, settled, at }: Bucket): number {
    const most = spec.algorithm === "balance" ? paid : limit;
    return most - settled - (reserved.get(keyOf(name, at)) ?? 0);
  }

  function stateOf(ask: MoneyAsk, now: number): BucketState {
    const bucket = bucketOf(ask.bucket, ask.spec, now);
    const end = endOf(periodOf(ask.spec), bucket.at);
    const remaining = Math.max(0, roomOf(ask.bucket, ask.spec, bucket));
    return { remaining, resetMs: end === null ? 0 : Math.max(0, end - now) };
  }

  function takeGroup({ id, expiresAt, asks: given }: Group, now: number): GroupAnswer {
    const asks = given.map(moneyAsk);
    const known = rows.held(id);
    for (const [by, ask] of known === null && !ended.has(id) ? asks.entries() : []) {
      const { bucket: name, spec, need } = ask;
      const bucket = bucketOf(name, spec, now);
      // Of nothing, nothing can be had, not even for nothing.
      if (isSoft(spec) || roomOf(name, spec, bucket) >= Math.max(1, need)) continue;
      if (spec.quiet !== true) tell(name, bucket, true, now);
      const fits = spec.algorithm === "calendar" && need <= spec.limit && spec.limit > 0;
      const { resetMs } = stateOf(ask, now);
      return {
        ok: false,
        by,
        retryAfterMs: fits && resetMs > 0 ? resetMs : null,
        states: asks.map((one) => stateOf(one, now)),
      };
    }
    const charges = asks.map(({ bucket, spec, need }) => ({
      bucket,
      at: bucketOf(bucket, spec, now).at,
      amount: need,
    }));
    if (known === null && !ended.has(id)) {
      const held: Held = { expiresAt, charges };
      for (const { bucket, spec } of asks) noteTerms(bucket, bucketOf(bucket, spec, now));
      rows.putHeld(id, held);
      count(held, 1);
    }
    const leases = asks.map((ask, index): Lease => {
      return { ...stateOf(ask, now), granted: ask.need, at: charges[index]?.at ?? 0, validMs: 0 };
    });
    return { ok: true, leases };
  }

  /** The bucket's row, if it says anything new. */
  function noteTerms(name: string, bucket: Bucket): void {
    if (JSON.stringify(rows.bucket(name)) !== JSON.stringify(bucket)) rows.putBucket(name, bucket);
  }

  /** Alerts of levels that are reached, each once in a period; where nobody wants to know, none counts as told. */
  function tell(name: string, bucket: Bucket, refuses: boolean, now: number): void {
    const levels = levelsOf(bucket, refuses);
    const last = levels.at(-1);
    if (last === undefined || bucket.alert === undefined) return;
    const told = { ...bucket, alerted: last };
    rows.putBucket(name, told);
    for (const level of levels) {
      const alert = alertOf(name, told, level, refuses, now);
      if (alert === null) continue;
      rows.putAlert(alert.id, alert.message);
      hasNews = true;
    }
  }

  function end({ id, back, mayChange = false }: Settlement, now: number): void {
    const held = rows.held(id);
    if (held === null) {
      ended.add(id);
      for (const oldest of ended) {
        if (ended.size <= MAX_ENDED) break;
        ended.delete(oldest);
      }
      return;
    }
    if (held.isOver !== true) count(held, -1);
    const charges = held.charges.map((charge) => {
      const { bucket: name, at, amount, settled: before = 0 } = charge;
      const cost = amount - (back.find((one) => one.bucket === name)?.amount ?? 0);
      const bucket = rows.bucket(name);
      // A budget that was removed, or whose period is over, counts it no more.
      if (bucket === null || bucket.at !== at) return charge;
      if (cost !== before) settle(name, bucket, cost - before, now);
      return { ...charge, settled: cost };
    });
    if (mayChange) remember(id, { ...held, charges, isOver: true });
    else forgetHeld(id);
  }

  /** Pools decide how many costs are estimated: what is kept of them is bounded. */
  function remember(id: string, held: Held): void {
    rows.putHeld(id, held);
    correctable.add(id);
    const [oldest] = correctable.size > maxCorrectable ? correctable : [];
    if (oldest !== undefined) forgetHeld(oldest);
  }

  function forgetHeld(id: string): void {
    rows.removeHeld(id);
    correctable.delete(id);
  }

  function settle(name: string, bucket: Bucket, nano: number, now: number): void {
    // Units are a pool's word: what they cost may add up to more than is exact, which could never be paid again.
    const settled = Math.max(0, Math.min(MAX_NANO, bucket.settled + nano));
    const spent = { ...bucket, settled };
    rows.putBucket(name, spent);
    tell(name, spent, false, now);
  }

  function expire(now: number): void {
    if (now < nextExpiry) return;
    nextExpiry = Infinity;
    for (const [id, held] of rows.allHeld()) {
      if (held.isOver === true) {
        if (now >= held.expiresAt + REMEMBERED_MS) forgetHeld(id);
      } else if (now < held.expiresAt) nextExpiry = Math.min(nextExpiry, held.expiresAt);
      else {
        rows.putHeld(id, { ...held, isOver: true });
        count(held, -1);
      }
    }
  }

  return {
    take(groups: readonly Group[], now: number): GroupAnswer[] {
      expire(now);
      return groups.map((group) => takeGroup(group, now));
    },

    settle(settlements: readonly Settlement[], now: number): void {
      expire(now);
      for (const one of settlements) end(one, now);
    },

    /**
     * Pays in, once for each key. Answers what was paid with that key, by whoever came first; null: the balance would
     * be more than can be counted.
     */
    payIn(key: string, payment: Paid): { paid: Paid; isNew: boolean } | null {
      const known = rows.paid(key);
      if (known !== null) return { paid: known, isNew: false };
      const bucket = rows.bucket(payment.bucket) ?? { at: 0, settled: 0, paid: 0, limit: 0, alerted: 0 };
      const paid = bucket.paid + payment.nano;
      if (!Number.isSafeInteger(paid - bucket.settled)) return null;
      const left = { ...bucket, paid };
      const told = { ...left, alerted: toldAfterPayment(left) };
      rows.putBucket(payment.bucket, told);
      rows.putPaid(key, payment);
      tell(payment.bucket, told, false, payment.at);
      return { paid: payment, isNew: true };
    },

    read(name: string, spec: MoneySpec, now: number): LedgerState {
      expire(now);
      const { settled, paid, at } = bucketOf(name, spec, now);
      return { settled, paid, at, reserved: reserved.get(keyOf(name, at)) ?? 0 };
    },

    /** Whether there are alerts that were not handed on; asked once. */
    takeNews(): boolean {
      const had = hasNews;
      hasNews = false;
      return had;
    },

    /** The budget was removed: one that is made anew begins at nothing, and counts nothing from before. */
    forget(name: string): void {
      rows.removeBucket(name);
      for (const [id, held] of rows.allHeld()) {
        const charges = held.charges.filter(({ bucket }) => bucket !== name);
        if (charges.length === held.charges.length) continue;
        if (held.isOver !== true) count(held, -1);
        rows.putHeld(id, { ...held, charges });
        if (held.isOver !== true) count({ ...held, charges }, 1);
      }
    },
  };
}

type MoneyAsk = Ask & { spec: MoneySpec };

function moneyAsk(ask: Ask): MoneyAsk {
  const { spec } = ask;
  if (spec.algorithm === "calendar" || spec.algorithm === "balance") return { ...ask, spec };
  throw new Error(`a ledger counts money alone, and no ${spec.algorithm}`);
}

function periodOf(spec: MoneySpec) {
  return spec.algorithm === "balance" ? "all" : spec.period;
}

function isSoft(spec: MoneySpec): boolean {
  return spec.algorithm === "calendar" && spec.soft === true;
}

function keyOf(bucket: string, at: number): string {
  return `${bucket} ${at}`;
}
