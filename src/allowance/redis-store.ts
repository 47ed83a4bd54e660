/**
 * Allowances in a Redis over the Upstash REST dialect: windows by `@upstash/ratelimit`, slots as members of a sorted
 * set whose score is when they expire, with plain commands. What differs from the objects:
 *
 *   - one group is several calls: what one of them refuses is given back at once, and may be missing elsewhere until
 *     then
 *   - amounts are whole numbers: parts count as one
 *   - what is charged after the fact counts in sliding windows and token buckets only as far as there is room
 *   - in a sliding window, an amount that is refused because it is over by exactly one counts as used
 *   - windows that are `held` are not given back when their reservation expires
 *
 * No answer in time is a refusal: `reason: "timeout"` of the package, which it takes for a success, throws here.
 */
import { Ratelimit } from "@upstash/ratelimit";
import { Redis } from "@upstash/redis/cloudflare";
import { isWindow } from "../../plugins/kernel/allowance.ts";
import type { AllowanceStore, Ask, BucketState, GiveBack, Group, GroupAnswer, Lease, Settlement } from "./types.ts";
import type { WindowSpec } from "./types.ts";

export type RedisSettings = { url: string; token: string; prefix: string };

/** How long Redis may take for an answer. */
const USUAL_TIMEOUT_MS = 1000;
/** How long a set is kept after its last member came: longer than any prediction lives. */
const SET_KEPT_MS = 14 * 86_400_000;
/** Ends are remembered so much longer than their reservations could live. */
const ENDED_KEPT_MS = 60_000;
/** Units of a token bucket that were leased wait no longer for their use. */
const BUCKET_LEASE_MS = 1000;
const PLENTY = 1 / 4;
const LARGEST_EXTRA = 1 / 16;
/** Nothing is given back to a window that is about to end: it would count in the next one. */
const CLOSING_MS = 1000;
const USUAL_HOLD_MS = 1000;
/** Refills of a token bucket in its window. */
const MOST_REFILLS = 100;

type Outcome = { ok: boolean; charged: boolean; lease: Lease; retryAfterMs: number | null };

export function createRedisStore(
  { url, token, prefix }: RedisSettings,
  { clock = Date.now, timeoutMs = USUAL_TIMEOUT_MS }: { clock?: () => number; timeoutMs?: number } = {},
): AllowanceStore {
  const redis = new Redis({
    ...{ url, token, retry: { retries: 0 }, enableTelemetry: false, readYourWrites: false, responseEncoding: false },
    signal: () => AbortSignal.timeout(2 * timeoutMs),
  });

  /** Counts `amount`, also a negative one, and answers what the script of the package said. */
  async function count(key: string, spec: WindowSpec, amount: number) {
    let said = 0;
    const note = (answer: unknown): unknown => {
      if (Array.isArray(answer)) said = Number(answer[0]);
      return answer;
    };
    const watched = Object.assign(Object.create(redis) as Redis, {
      evalsha: async (...args: Parameters<Redis["evalsha"]>) => note(await redis.evalsha(...args)),
      eval: async (...args: Parameters<Redis["eval"]>) => note(await redis.eval(...args)),
    });
    const limiter = new Ratelimit({
      ...{ redis: watched, limiter: algorithmOf(spec), prefix: `${prefix}allowance` },
      ...{ ephemeralCache: false as const, timeout: timeoutMs, enableTelemetry: false },
    });
    const { success, remaining, reset, reason } = await limiter.limit(key, { rate: amount });
    if (reason === "timeout") throw new Error(`Redis did not answer within ${timeoutMs} ms`);
    return { success, remaining, reset, said };
  }

  async function takeWindow(subject: string, ask: Ask, spec: WindowSpec): Promise<Outcome> {
    const need = Math.ceil(ask.need);
    const now = clock();
    const at = spec.algorithm === "token-bucket" ? now : startOf(spec, now);
    if (need > spec.limit) {
      const lease = { remaining: spec.limit, resetMs: spec.windowMs, granted: 0, at, validMs: 0 };
      return { ok: false, charged: false, lease, retryAfterMs: null };
    }
    const key = keyOf(subject, ask.bucket, spec);
    const { success, remaining, reset, said } = await count(key, spec, need);
    const resetMs = Math.max(1, reset - now);
    const extra = success && !ask.held && ask.want > 0 ? await takeExtra(key, spec, ask.want, remaining) : 0;
    const validMs = spec.algorithm === "token-bucket" ? BUCKET_LEASE_MS : resetMs;
    const lease = { remaining: remaining - extra, resetMs, granted: need + extra, at, validMs };
    const retryAfterMs = spec.algorithm === "token-bucket" ? Math.max(resetMs, timeOf(need - 1, spec)) : resetMs;
    // A fixed window counts what it refuses, a sliding one what is over its end, a token bucket neither.
    const isCharged = success || spec.algorithm === "fixed-window" || said < -1;
    return { ok: success, charged: isCharged && need > 0, lease, retryAfterMs: success ? 0 : retryAfterMs };
  }

  async function takeExtra(key: string, spec: WindowSpec, want: number, remaining: number): Promise<number> {
    const extra = remaining < spec.limit * PLENTY ? 0 : Math.floor(Math.min(want, remaining * LARGEST_EXTRA));
    return extra > 0 && (await count(key, spec, extra)).success ? extra : 0;
  }

  async function takeSlot(subject: string, { id, expiresAt }: Group, ask: Ask): Promise<Outcome> {
    const { limit } = ask.spec;
    const key = `${prefix}slots:${subject}:${ask.bucket}`;
    const now = clock();
    const answers: unknown[] = await redis
      .multi()
      .zremrangebyscore(key, "-inf", now)
      .zadd(key, { score: expiresAt, member: id })
      .zcard(key)
      .pexpire(key, SET_KEPT_MS)
      .exec();
    const held = Number(answers[2]);
    const state = { remaining: Math.max(0, limit - held), resetMs: Math.max(1, USUAL_HOLD_MS / Math.max(1, limit)) };
    const retryAfterMs = limit < 1 ? null : state.resetMs;
    return { ok: held <= limit, charged: true, lease: { ...state, granted: 1, at: 0, validMs: 0 }, retryAfterMs };
  }

  async function takeGroup(subject: string, group: Group): Promise<GroupAnswer> {
    const outcomes = await Promise.allSettled(
      group.asks.map(async (ask) =>
        isWindow(ask.spec) ? takeWindow(subject, ask, ask.spec) : takeSlot(subject, group, ask),
      ),
    );
    const done = outcomes.map((outcome) => (outcome.status === "fulfilled" ? outcome.value : null));
    const by = done.findIndex((outcome) => outcome === null || !outcome.ok);
    if (by < 0) return { ok: true, leases: done.flatMap((outcome) => (outcome === null ? [] : [outcome.lease])) };
    await Promise.allSettled(
      group.asks.map(async (ask, index) => takeBack(subject, group.id, ask, done[index] ?? null)),
    );
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    const states = done.map((outcome): BucketState => {
      return { remaining: outcome?.lease.remaining ?? 0, resetMs: outcome?.lease.resetMs ?? 0 };
    });
    return { ok: false, by, retryAfterMs: done[by]?.retryAfterMs ?? null, states };
  }

  /** Undoes what a group had before one of its asks was refused. */
  async function takeBack(subject: string, id: string, ask: Ask, outcome: Outcome | null): Promise<void> {
    const { bucket, spec } = ask;
    if (!isWindow(spec)) await redis.zrem(`${prefix}slots:${subject}:${bucket}`, id);
    else if (outcome?.charged === true) {
      await giveBack(subject, { bucket, spec, at: outcome.lease.at, amount: outcome.lease.granted });
    }
  }

  async function giveBack(subject: string, { bucket, spec, at, amount }: GiveBack): Promise<void> {
    if (!isWindow(spec)) return;
    const now = clock();
    const refilled =
      spec.algorithm === "token-bucket" ? Math.floor((Math.max(0, now - at) * spec.refill) / spec.windowMs) : 0;
    const whole = Math.floor(amount < 0 ? amount : amount - refilled);
    const isOpen = at === startOf(spec, now) && startOf(spec, now + Math.min(CLOSING_MS, spec.windowMs / 10)) === at;
    if (whole < 0 || (whole > 0 && (spec.algorithm === "token-bucket" || isOpen))) {
      await count(keyOf(subject, bucket, spec), spec, -whole);
    }
  }

  async function settleOne(subject: string, { id, expiresAt, slots, back }: Settlement): Promise<void> {
    for (const bucket of slots) await redis.zrem(`${prefix}slots:${subject}:${bucket}`, id);
    if (back.length === 0) return;
    const key = `${prefix}ended:${subject}:${id}`;
    const keptMs = Math.max(0, expiresAt - clock()) + ENDED_KEPT_MS;
    if ((await redis.set(key, 1, { nx: true, px: Math.ceil(keptMs) })) === null) return;
    for (const gift of back) await giveBack(subject, gift);
  }

  return {
    take: async (subject, groups) => Promise.all(groups.map(async (group) => takeGroup(subject, group))),
    settle: async (subject, settlements) => {
      await Promise.all(settlements.map(async (settlement) => settleOne(subject, settlement)));
    },
  };
}

function algorithmOf(spec: WindowSpec) {
  const windowMs = `${spec.windowMs} ms` as const;
  if (spec.algorithm !== "token-bucket") {
    const make = spec.algorithm === "fixed-window" ? Ratelimit.fixedWindow : Ratelimit.slidingWindow;
    return make(spec.limit, windowMs);
  }
  // The package adds tokens at the end of an interval: many short ones, so that they come evenly.
  const intervalMs = Math.max(1, Math.ceil(spec.windowMs / Math.min(spec.refill, MOST_REFILLS)));
  const refill = Math.max(1, Math.floor((spec.refill * intervalMs) / spec.windowMs));
  return Ratelimit.tokenBucket(refill, `${intervalMs} ms`, spec.limit);
}

/** In what time so many tokens come. */
function timeOf(tokens: number, { refill, windowMs }: WindowSpec & { algorithm: "token-bucket" }): number {
  return Math.ceil((tokens * windowMs) / refill);
}

function startOf({ windowMs }: WindowSpec, now: number): number {
  return Math.floor(now / windowMs) * windowMs;
}

function keyOf(subject: string, bucket: string, { algorithm, windowMs }: WindowSpec): string {
  return `${subject}:${bucket}:${algorithm}:${windowMs}`;
}
