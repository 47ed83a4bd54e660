/**
 * The counting of windows and token buckets. Pure; `now` in milliseconds since the epoch.
 *
 * A clock that goes back by less than a window stays in the window that it had reached. One that goes back further
 * takes what was used along into the window that it finds, so that no jump back grants anything. A jump forward can't
 * be told from time that passed.
 */
import type { WindowSpec } from "./types.ts";

/**
 * `at`: where the window begins; of a token bucket, when it was last looked at. `used` in it, and `before` in the one
 * before it. A token bucket counts what is missing from it.
 */
export type Counter = { at: number; used: number; before: number };

/** How long units of a token bucket that were leased may wait for their use: by so much may it burst. */
const BUCKET_LEASE_MS = 1000;

export function newCounter(spec: WindowSpec, now: number): Counter {
  return { at: spec.algorithm === "token-bucket" ? now : startOf(spec, now), used: 0, before: 0 };
}

/** Brings the counter up to `now`. */
export function roll(counter: Counter, spec: WindowSpec, now: number): void {
  if (spec.algorithm === "token-bucket") {
    if (now >= counter.at) counter.used = Math.max(0, counter.used - (now - counter.at) * ratePerMs(spec));
    if (now >= counter.at || counter.at - now > spec.windowMs) counter.at = now;
    return;
  }
  const start = startOf(spec, now);
  if (start > counter.at) {
    counter.before = start - counter.at === spec.windowMs ? counter.used : 0;
    counter.used = 0;
    counter.at = start;
  } else if (counter.at - now > spec.windowMs) counter.at = start;
}

/** What may still be used; below 0 when more was settled than reserved. */
export function roomOf(counter: Counter, spec: WindowSpec, now: number): number {
  return spec.limit - counter.used - beforeStill(counter, spec, now);
}

/** In how many milliseconds `need` fits, if nobody else uses anything; null: never. */
export function fitsInMs(counter: Counter, spec: WindowSpec, need: number, now: number): number | null {
  if (need > spec.limit) return null;
  const missing = need - roomOf(counter, spec, now);
  if (missing <= 0) return 0;
  if (spec.algorithm === "token-bucket") return spec.refill === 0 ? null : Math.max(1, missing / ratePerMs(spec));
  return Math.max(1, counter.at + spec.windowMs - now + afterEndMs(counter, spec, need));
}

/** By how much later than the window's end it fits, or, negative, earlier. */
function afterEndMs({ used, before }: Counter, { algorithm, limit, windowMs }: WindowSpec, need: number): number {
  if (algorithm === "fixed-window") return 0;
  if (used + need <= limit) return (-windowMs * (limit - need - used)) / before;
  return windowMs * Math.max(0, 1 - (limit - need) / used);
}

/** In how many milliseconds the window ends, or the token bucket is full. */
export function resetMsOf(counter: Counter, spec: WindowSpec, now: number): number {
  if (spec.algorithm !== "token-bucket") return counter.at + spec.windowMs - now;
  if (counter.used <= 0) return 0;
  return spec.refill === 0 ? spec.windowMs : counter.used / ratePerMs(spec);
}

/** For how long units that are leased now may be used. */
export function validMsOf(counter: Counter, spec: WindowSpec, now: number): number {
  return spec.algorithm === "token-bucket" ? BUCKET_LEASE_MS : resetMsOf(counter, spec, now);
}

/**
 * Gives back an `amount` that was counted `at`; what a window that is over had, or what has been refilled since, is not
 * given twice. A negative amount is charged, in the present.
 */
export function giveBack(counter: Counter, spec: WindowSpec, at: number, amount: number, now: number): void {
  if (amount < 0) counter.used -= amount;
  else if (spec.algorithm === "token-bucket") {
    const left = amount - Math.max(0, now - at) * ratePerMs(spec);
    counter.used = Math.max(0, counter.used - Math.max(0, left));
  } else if (at === counter.at) counter.used = Math.max(0, counter.used - amount);
  else if (spec.algorithm === "sliding-window" && at === counter.at - spec.windowMs) {
    counter.before = Math.max(0, counter.before - amount);
  }
}

/** Whether nothing of the counter matters any more. */
export function isOver(counter: Counter, spec: WindowSpec, now: number): boolean {
  if (spec.algorithm === "token-bucket") {
    return counter.used <= 0 || (spec.refill > 0 && now - counter.at > counter.used / ratePerMs(spec));
  }
  return now - counter.at >= 2 * spec.windowMs;
}

function startOf({ windowMs }: WindowSpec, now: number): number {
  return Math.floor(now / windowMs) * windowMs;
}

function ratePerMs({ refill, windowMs }: WindowSpec & { algorithm: "token-bucket" }): number {
  return refill / windowMs;
}

function beforeStill({ at, before }: Counter, spec: WindowSpec, now: number): number {
  if (spec.algorithm !== "sliding-window" || before === 0) return 0;
  const passed = Math.min(1, Math.max(0, (now - at) / spec.windowMs));
  return before * (1 - passed);
}
