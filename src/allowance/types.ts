/** What the parts of the allowance service tell each other; its words are explained in plugins/kernel/allowance.ts. */
import type { BucketSpec, BucketState, Charge, MoneySpec, WindowSpec } from "../../plugins/kernel/allowance.ts";

export type { BucketSpec, BucketState, Charge, WindowSpec };

/** A charge that was taken. `at`: the window that it was counted in, or, of a token bucket, the time. */
export type Taken = Charge & { at: number };

/** What a request has reserved: self-contained, so that whoever keeps it can settle it anywhere. */
export type Reservation = { id: string; expiresAt: number; taken: Taken[] };

/**
 * `by`: the index of the charge that was refused; `retryAfterMs` null: this amount never fits. `states` are those of
 * the charges, in their order.
 */
export type Decision =
  | { ok: true; reservation: Reservation; states: BucketState[] }
  | { ok: false; by: number; retryAfterMs: number | null; states: BucketState[] };

/**
 * Of one bucket: what a request needs, and how much more this isolate would like to have at hand. `held` as in
 * `Charge`.
 */
export type Ask = { bucket: string; spec: BucketSpec; need: number; want: number; held: boolean };

/** Asks of one request to one subject. `id` names the reservation that holds what is held. */
export type Group = { id: string; expiresAt: number; asks: Ask[] };

/** `granted` may be used for `validMs` from now on, and only while the window `at` lasts. */
export type Lease = BucketState & { granted: number; at: number; validMs: number };

export type GroupAnswer =
  | { ok: true; leases: Lease[] }
  | { ok: false; by: number; retryAfterMs: number | null; states: BucketState[] };

/** Units that were leased and not used, or charges that turned out smaller (or, negative, larger). */
export type GiveBack = { bucket: string; spec: WindowSpec | MoneySpec; at: number; amount: number };

/**
 * Ends a reservation at one subject: what it gives back, and what it holds by its `id`: `slots` are those buckets.
 * `mayChange`: of money, it was settled by an estimate, and may end once more with what it really cost.
 */
export type Settlement = { id: string; expiresAt: number; back: GiveBack[]; slots: string[]; mayChange?: boolean };

/** Where buckets are kept. Every call may be repeated without granting more for it. Throws when it can't be reached. */
export type AllowanceStore = {
  /** Decides each group by itself, all of its asks or none. */
  take(subject: string, groups: Group[]): Promise<GroupAnswer[]>;
  /** Counts each id once, however often it comes. */
  settle(subject: string, settlements: Settlement[]): Promise<void>;
};
