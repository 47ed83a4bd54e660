/**
 * The buckets of one subject, as its object keeps them. Pure: it is told the time, and says what is to be written.
 *
 * What is written is coarse. A bucket's row states a use that was not reached yet, a sixteenth of the limit ahead: a
 * book that starts again takes it for the real one, and so never grants more than the limit, but up to a sixteenth less
 * until the window ends. A book that rests has the real use written, so that it loses nothing by its rest. Windows
 * shorter than `UNWRITTEN_WINDOW_MS` are not written: a restart may grant their limit once more. What reservations hold
 * is written within half a second: a restart may grant again slots that were taken in that time.
 */
import { isWindow } from "../../plugins/kernel/allowance.ts";
import { createSlots } from "./slots.ts";
import type { Held } from "./slots.ts";
import type {
  Ask,
  BucketSpec,
  BucketState,
  GiveBack,
  Group,
  GroupAnswer,
  Lease,
  Settlement,
  WindowSpec,
} from "./types.ts";
import { fitsInMs, giveBack, isOver, newCounter, resetMsOf, roll, roomOf, validMsOf } from "./windows.ts";
import type { Counter } from "./windows.ts";

/** A bucket as its row has it. */
export type Written = { bucket: string; spec: WindowSpec; counter: Counter };
export type Stored = { buckets: Written[]; slots: [string, Held][] };

export const UNWRITTEN_WINDOW_MS = 10_000;
/** Rows of one bucket and window, at most, and one. */
const STEPS = 16;
/** An isolate is given more than it needs only while so much of the limit is left, and no more than this part of it. */
const PLENTY = 1 / 4;
const LARGEST_EXTRA = 1 / 16;
/** Ends of reservations that are remembered; each until its reservation would have expired, at least. */
const MAX_ENDED = 100_000;
/** One that ended, or expired, is remembered for so long at least: its end may come yet, or once more. */
const REMEMBERED_MS = 600_000;

type Bucket = { spec: WindowSpec; counter: Counter; written: Counter | null };

export type Book = ReturnType<typeof createBook>;

export function createBook(stored: Stored) {
  const buckets = new Map<string, Bucket>();
  const slots = createSlots();
  const ended = new Map<string, number>();
  let unwritten = new Map<string, Bucket>();

  for (const { bucket, spec, counter } of stored.buckets)
    buckets.set(bucket, { spec, counter, written: { ...counter } });
  for (const [id, held] of stored.slots) slots.hold(id, held);

  function bucketOf(name: string, spec: WindowSpec, now: number): Bucket {
    const bucket = buckets.get(name) ?? { spec, counter: newCounter(spec, now), written: null };
    bucket.spec = spec;
    buckets.set(name, bucket);
    roll(bucket.counter, spec, now);
    return bucket;
  }

  function use(name: string, bucket: Bucket, amount: number): void {
    bucket.counter.used += amount;
    if (isAhead(bucket)) return;
    const { at, used, before } = bucket.counter;
    const ahead = Math.max(used, Math.min(used + Math.ceil(bucket.spec.limit / STEPS), bucket.spec.limit));
    bucket.written = { at, used: ahead, before };
    unwritten.set(name, bucket);
  }

  function slotLease({ bucket, spec, need }: Ask): Lease {
    return { ...slotState(bucket, spec), granted: need, at: 0, validMs: 0 };
  }

  function windowLease({ bucket: name, spec, need, want }: Ask, now: number): Lease | null {
    if (!isWindow(spec)) return null;
    const bucket = bucketOf(name, spec, now);
    const granted = need + extraOf(roomOf(bucket.counter, spec, now) - need, spec.limit, want);
    use(name, bucket, granted);
    return {
      ...windowState(bucket, now),
      granted,
      at: bucket.counter.at,
      validMs: validMsOf(bucket.counter, spec, now),
    };
  }

  /** In how many milliseconds the ask fits; 0: now, null: never. */
  function fits(group: Group, { bucket: name, spec, need }: Ask, now: number): number | null {
    if (isWindow(spec)) return fitsInMs(bucketOf(name, spec, now).counter, spec, need, now);
    if (need === 0) return 0;
    if (spec.limit < 1) return null;
    return slots.has(group.id) || slots.held(name) < spec.limit ? 0 : slots.freeInMs(spec.limit);
  }

  function stateOf({ bucket, spec }: Ask, now: number): BucketState {
    return isWindow(spec) ? windowState(bucketOf(bucket, spec, now), now) : slotState(bucket, spec);
  }

  function slotState(name: string, spec: BucketSpec): BucketState {
    return { remaining: Math.max(0, spec.limit - slots.held(name)), resetMs: slots.freeInMs(spec.limit) };
  }

  function takeGroup(group: Group, now: number): GroupAnswer {
    for (const [by, ask] of group.asks.entries()) {
      const retryAfterMs = fits(group, ask, now);
      if (retryAfterMs === 0) continue;
      return { ok: false, by, retryAfterMs, states: group.asks.map((one) => stateOf(one, now)) };
    }
    const leases = group.asks.map((ask) => windowLease(ask, now));
    // One that is known is asked for again; one whose end overtook its beginning has nothing to hold any more.
    if (!slots.has(group.id) && !ended.has(group.id)) hold(group, leases, now);
    return { ok: true, leases: group.asks.map((ask, index) => leases[index] ?? slotLease(ask)) };
  }

  function hold({ id, expiresAt, asks }: Group, leases: readonly (Lease | null)[], now: number): void {
    const names: string[] = [];
    const gifts: GiveBack[] = [];
    for (const [index, { bucket, spec, need, held }] of asks.entries()) {
      if (need === 0) continue;
      if (!isWindow(spec)) names.push(bucket);
      else if (held) gifts.push({ bucket, spec, at: leases[index]?.at ?? 0, amount: need });
    }
    if (names.length + gifts.length > 0) slots.hold(id, { expiresAt, since: now, buckets: names, back: gifts });
  }

  function expire(now: number): boolean {
    const expired = slots.expire(now);
    for (const [id, held] of expired) {
      remember(id, now + REMEMBERED_MS, now);
      back(held.back, now);
    }
    return expired.length > 0;
  }

  function back(gifts: readonly GiveBack[], now: number): void {
    for (const { bucket: name, spec, at, amount } of gifts) {
      if (!isWindow(spec)) continue;
      const bucket = bucketOf(name, spec, now);
      giveBack(bucket.counter, spec, at, amount, now);
      if (amount < 0) use(name, bucket, 0);
    }
  }

  function remember(id: string, expiresAt: number, now: number): void {
    ended.delete(id);
    ended.set(id, expiresAt);
    for (const [old, until] of ended) {
      if (ended.size <= MAX_ENDED && until > now) break;
      ended.delete(old);
    }
  }

  return {
    take(groups: readonly Group[], now: number): GroupAnswer[] {
      expire(now);
      return groups.map((group) => takeGroup(group, now));
    },

    /** Whether slots changed. */
    settle(settlements: readonly Settlement[], now: number): boolean {
      let changed = expire(now);
      for (const { id, expiresAt, back: gifts } of settlements) {
        const isKnown = ended.has(id);
        // One that comes late may come again, and again.
        remember(id, Math.max(expiresAt, now + REMEMBERED_MS), now);
        if (isKnown) continue;
        if (slots.release(id, now)) changed = true;
        back(gifts, now);
      }
      return changed;
    },

    /** The rows that must be stored before what was granted is told. */
    takeUnwritten(): Written[] {
      const rows = [...unwritten].map(([bucket, { spec, written, counter }]) => ({
        bucket,
        spec,
        counter: written ?? counter,
      }));
      unwritten = new Map();
      return rows;
    },

    /** The rows of buckets that were written ahead of their real use, or whose use has gone back since. */
    takeInexact(now: number): Written[] {
      const rows: Written[] = [];
      for (const [bucket, one] of buckets) {
        if (one.written === null || isOver(one.counter, one.spec, now) || isExact(one)) continue;
        one.written = { ...one.counter };
        rows.push({ bucket, spec: one.spec, counter: one.written });
      }
      return rows;
    },

    slots: () => slots.entries(),
    held: () => slots.size(),

    /** Forgets buckets of which nothing matters any more, and answers their names, and how many remain. */
    forget(now: number): { gone: string[]; left: number } {
      expire(now);
      const gone: string[] = [];
      for (const [name, { spec, counter, written }] of buckets) {
        if (isOver(counter, spec, now) && (written === null || isOver(written, spec, now))) gone.push(name);
      }
      for (const name of gone) buckets.delete(name);
      return { gone, left: buckets.size + slots.size() };
    },
  };
}

function isAhead({ spec, counter, written }: Bucket): boolean {
  if (spec.windowMs < UNWRITTEN_WINDOW_MS) return true;
  if (written === null) return false;
  if (spec.algorithm !== "token-bucket") return written.at === counter.at && written.used >= counter.used;
  const drained = ((counter.at - written.at) * spec.refill) / spec.windowMs;
  return written.used - drained >= counter.used;
}

function isExact({ counter, written }: Bucket): boolean {
  return written?.at === counter.at && written.used === counter.used && written.before === counter.before;
}

function extraOf(room: number, limit: number, want: number): number {
  if (room < limit * PLENTY) return 0;
  return Math.max(0, Math.min(want, Math.floor(room * LARGEST_EXTRA)));
}

function windowState({ spec, counter }: Bucket, now: number): BucketState {
  return {
    remaining: Math.max(0, Math.floor(roomOf(counter, spec, now))),
    resetMs: Math.max(0, Math.ceil(resetMsOf(counter, spec, now))),
  };
}
