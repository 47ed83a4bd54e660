/**
 * Redis over the Upstash REST dialect, as the edge uses it for `delivery: kv`. Plain commands only, all with keys under
 * the pool's prefix, so that a token which is limited to a prefix suffices.
 */
import { Redis } from "@upstash/redis/cloudflare";
import * as z from "zod";
import type { ClaimRef } from "../contract/channel.ts";
import { DEFAULT_KV_PREFIX, PARKED_TTL_SECONDS } from "../contract/parked.ts";
import type { ParkedKeys, ParkedOutcome } from "../contract/parked.ts";
import type { Env } from "../env.ts";

const TIMEOUT_MS = 2000;

export type Parked = { n: number; body: string };

export type ParkedStore = {
  /**
   * What is parked, oldest first, and for how long the pool's heartbeat still holds (0: there is none). Throws when
   * Redis is away.
   */
  read(keys: ParkedKeys): Promise<{ parked: Parked[]; aliveMs: number }>;
  /** Takes requests out that were answered through the channel. */
  remove(keys: ParkedKeys, numbers: readonly number[]): Promise<void>;
  /** Takes a request out and leaves its answer where the pool looks. */
  answer(keys: ParkedKeys, n: number, outcome: ParkedOutcome): Promise<void>;
  /** Leaves claims to stop. */
  stop(keys: ParkedKeys, claims: readonly ClaimRef[]): Promise<void>;
  /** What stands at a probe's key. */
  probe(key: string): Promise<string | null>;
};

export type ParkedSettings = { url: string; token: string; prefix: string };

/** The edge's settings for it; null when it has none. */
export function parkedSettings(env: Pick<Env, "KV_REST_URL" | "KV_REST_TOKEN" | "KV_PREFIX">): ParkedSettings | null {
  const { KV_REST_URL: url = "", KV_REST_TOKEN: token = "", KV_PREFIX: prefix = DEFAULT_KV_PREFIX } = env;
  return url === "" || token === "" ? null : { url, token, prefix };
}

/** `replies` of HGETALL come flat: field, value, field, value. */
const ReadSchema = z.tuple([z.array(z.string()).nullable(), z.number()]);

export function createParkedStore({ url, token }: ParkedSettings): ParkedStore {
  const redis = new Redis({
    url,
    token,
    retry: { retries: 0 },
    automaticDeserialization: false,
    enableTelemetry: false,
    readYourWrites: false,
    responseEncoding: false,
    signal: () => AbortSignal.timeout(TIMEOUT_MS),
  });
  return {
    async read(keys) {
      const replies: unknown = await redis.pipeline().hgetall(keys.out).pttl(keys.alive).exec();
      const [fields, aliveMs] = ReadSchema.parse(replies);
      return { parked: pairs(fields ?? []), aliveMs: Math.max(0, aliveMs) };
    },
    async remove(keys, numbers) {
      if (numbers.length > 0) await redis.hdel(keys.out, ...numbers.map(String));
    },
    async answer(keys, n, outcome) {
      const field = { [String(n)]: JSON.stringify(outcome) };
      await redis.multi().hset(keys.in, field).expire(keys.in, PARKED_TTL_SECONDS).hdel(keys.out, String(n)).exec();
    },
    async stop(keys, claims) {
      const texts = claims.map((claim) => JSON.stringify(claim));
      const [first, ...rest] = texts;
      if (first === undefined) return;
      await redis
        .multi()
        .rpush(keys.stop, first, ...rest)
        .expire(keys.stop, PARKED_TTL_SECONDS)
        .exec();
    },
    async probe(key) {
      return redis.get<string>(key);
    },
  };
}

function pairs(fields: readonly string[]): Parked[] {
  const parked: Parked[] = [];
  for (let at = 0; at + 1 < fields.length; at += 2) parked.push({ n: Number(fields[at]), body: fields[at + 1] ?? "" });
  return parked.filter(({ n }) => Number.isSafeInteger(n)).toSorted((a, b) => a.n - b.n);
}
