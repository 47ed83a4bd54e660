/**
 * Allowances: how much of something may still be used, by the one service that limits and budgets share.
 *
 * A **bucket** counts one kind of use of one **subject** (`account:…`, `model:…`, `ip:…`). A **charge** takes an amount
 * from a bucket. A request's charges are taken together or not at all, and are a **reservation** until the prediction
 * has ended: then what it really used stays, and the rest goes back.
 */
import type { Reservation } from "./phases.ts";

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
 * What an amount counts, and so what of it stays when the prediction ends. `requests` and `bytes` stay once it was
 * accepted; `cost` becomes what it cost, nothing if it never ran; `concurrency` ends.
 */
export const allowanceUnits = ["requests", "bytes", "cost", "concurrency"] as const;
export type AllowanceUnit = (typeof allowanceUnits)[number];

/**
 * An amount of one bucket that one request uses. `bucket` is unique within its subject. `held`: the store knows the
 * reservation by its id and gives the amount back when it expires, for which it is asked each time; else what nobody
 * settles counts as used until its window ends. Slots of concurrency are always held.
 */
export type Charge = {
  subject: string;
  bucket: string;
  unit: AllowanceUnit;
  spec: BucketSpec;
  amount: number;
  held?: boolean;
};

/** What is left in a bucket, as far as this isolate knows, and in how many milliseconds it is full again. */
export type BucketState = { remaining: number; resetMs: number };

/** `states` are those of the charges, in their order. */
export type AllowanceAnswer =
  | { ok: true; reservation: Reservation; states: BucketState[] }
  /** `by`: the index of the charge that was refused; `retryAfterMs` null: this amount never fits. */
  | { ok: false; by: number; retryAfterMs: number | null; states: BucketState[] };

/** Where buckets are kept: in Durable Objects, one a subject, or in Redis. */
export type AllowanceStoreName = "objects" | "redis";

export type AllowanceService = {
  /** The stores that there are. */
  readonly stores: readonly AllowanceStoreName[];
  /**
   * Takes all charges or none; at once, where this isolate has leased enough. What nobody has ended at `expiresAt` goes
   * back. Throws when the store can't be reached.
   */
  reserve(
    store: AllowanceStoreName,
    expiresAt: number,
    charges: readonly Charge[],
  ): AllowanceAnswer | Promise<AllowanceAnswer>;
};
