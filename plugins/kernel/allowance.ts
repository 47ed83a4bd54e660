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
 *   calendar        `limit` in each day or month of UTC, or in all; of money, exact. `soft`: nothing is refused
 *   balance         what was paid in; of money, exact
 */
export type BucketSpec =
  | { algorithm: "fixed-window" | "sliding-window"; limit: number; windowMs: number }
  | { algorithm: "token-bucket"; limit: number; windowMs: number; refill: number }
  | { algorithm: "concurrency"; limit: number }
  | { algorithm: "calendar"; limit: number; period: CalendarPeriod; soft?: boolean; alert?: AlertTarget; quiet?: true }
  | { algorithm: "balance"; limit: 0; alert?: AlertTarget; quiet?: true };
export type WindowSpec = Extract<BucketSpec, { windowMs: number }>;
/** What only the store `ledger` keeps, and the only thing that it does. */
export type MoneySpec = Extract<BucketSpec, { algorithm: "calendar" | "balance" }>;

export function isWindow(spec: BucketSpec): spec is WindowSpec {
  return "windowMs" in spec;
}

export function isMoney(spec: BucketSpec): spec is MoneySpec {
  return spec.algorithm === "calendar" || spec.algorithm === "balance";
}

export const calendarPeriods = ["day", "month", "all"] as const;
export type CalendarPeriod = (typeof calendarPeriods)[number];

/**
 * Who is told when 50, 80 and 100 % are spent: a URL, the account whose secret signs, and the budget's name.
 * `belowNano` makes it a balance's: told when less than that is left, and when nothing is. A trial has `quiet` in its
 * place: it tells nobody, and does not change who is told.
 */
export type AlertTarget = { url: string; account: string; of: string; belowNano?: number };

/** A window that never ends: for budgets "in all". */
export const FOREVER_MS = Number.MAX_SAFE_INTEGER;

/**
 * What an amount counts, and so what of it stays when the prediction ends. `requests` and `bytes` stay once it was
 * accepted; `cost` becomes what it cost, nothing if it never ran; `concurrency` ends; `money` becomes what is billed.
 */
export const allowanceUnits = ["requests", "bytes", "cost", "concurrency", "money"] as const;
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

/** Where buckets are kept: in Durable Objects, one a subject, in Redis, or, of money, in objects that are exact. */
export type AllowanceStoreName = "objects" | "redis" | "ledger";

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
