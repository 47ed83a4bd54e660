/**
 * The words of the allowance service, which limits and budgets share.
 *
 * A **bucket** counts one kind of use of one **subject** (`account:…`, `model:…`, `ip:…`). A **charge** takes an amount
 * from a bucket. A **reservation** is the charges of one request, taken together or not at all; it is settled once with
 * what was really used, or refunded, and expires when nobody does either.
 */

/**
 * How a bucket counts. `limit` is the most in one window, or at one time, or what a token bucket holds; amounts have
 * the unit of whoever asks (requests, bytes, nano-units of money) and are 0 to 10^15.
 *
 *   fixed-window    `limit` from each multiple of `windowMs` since the epoch to the next
 *   sliding-window  the same, and the window before counts for the share of it that the last `windowMs` still cover
 *   token-bucket    `refill` tokens come in `windowMs`, evenly, up to `limit`
 *   concurrency     `limit` reservations at one time; each holds 1 until it is settled or expires
 */
export type BucketSpec =
  | { algorithm: "fixed-window" | "sliding-window"; limit: number; windowMs: number }
  | { algorithm: "token-bucket"; limit: number; windowMs: number; refill: number }
  | { algorithm: "concurrency"; limit: number };
export type WindowSpec = Exclude<BucketSpec, { algorithm: "concurrency" }>;

/** A window that never ends: for budgets "in all". */
export const FOREVER_MS = Number.MAX_SAFE_INTEGER;

/**
 * An amount of one bucket that one request uses. `bucket` is unique within its subject. `held`: the store knows the
 * reservation by its id and gives the amount back when it expires, for which it is asked each time; else what nobody
 * settles counts as used until its window ends. Slots of concurrency are always held.
 */
export type Charge = { subject: string; bucket: string; spec: BucketSpec; amount: number; held?: boolean };

/** A charge that was taken. `at`: the window (or, of a token bucket, the time) that it was counted in. */
export type Taken = Charge & { at: number };

/** What a request has reserved: self-contained, so that whoever keeps it can settle it anywhere. */
export type Reservation = { id: string; expiresAt: number; taken: Taken[] };

/** What is left in a bucket, as far as this isolate knows, and in how many milliseconds it is full again. */
export type BucketState = { remaining: number; resetMs: number };

/**
 * `by`: the index of the charge that was refused; `retryAfterMs` null: this amount never fits. `states` are those of
 * the charges, in their order.
 */
export type Decision =
  | { ok: true; reservation: Reservation; states: BucketState[] }
  | { ok: false; by: number; retryAfterMs: number | null; states: BucketState[] };

/**
 * Of one bucket: what a request needs, and how much more this isolate would like to have at hand. `held` as in `Charge`.
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
export type GiveBack = { bucket: string; spec: WindowSpec; at: number; amount: number };

/** Ends a reservation at one subject: what it gives back, and what it holds by its `id`: `slots` are those buckets. */
export type Settlement = { id: string; expiresAt: number; back: GiveBack[]; slots: string[] };

/** Where buckets are kept. Every call may be repeated without granting more for it. Throws when it can't be reached. */
export type AllowanceStore = {
  /** Decides each group by itself, all of its asks or none. */
  take(subject: string, groups: Group[]): Promise<GroupAnswer[]>;
  /** Counts each id once, however often it comes. */
  settle(subject: string, settlements: Settlement[]): Promise<void>;
};
