/**
 * Redis over the Upstash REST dialect, as a pool uses it for `delivery: kv`. Plain commands only, all with keys under
 * one prefix, so that a token which is limited to a prefix suffices.
 */
import { Redis } from "@upstash/redis";
import * as z from "zod";
import { ClaimRefSchema } from "../../src/contract/channel.ts";
import type { ClaimRef } from "../../src/contract/channel.ts";
import { describeKvError, PARKED_TTL_SECONDS, parkedKeys, ParkedOutcomeSchema } from "../../src/contract/parked.ts";
import type { ParkedOutcome } from "../../src/contract/parked.ts";
import { StatusError, TransportError } from "../transport/http-client.ts";
import { parseJson } from "../transport/json.ts";

const TIMEOUT_MS = 5000;
const MAX_STOPS = 500;
/** What servers of the dialect say of a request that is too large for them. */
const TOO_LARGE = /larger than the \d+ bytes|max request size/i;

export type KvAccess = { url: URL; token: string; prefix: string };

/**
 * The keys of one pool session. Everything throws `TransportError` when Redis doesn't do it; parking too much,
 * `StatusError` 413.
 */
export type ParkedRedis = {
  /**
   * Parks a request; `before`, of which no answer came, goes. `leaseSeconds`: holds the lease for so long, for want of
   * a channel.
   */
  park(n: number, body: string, options: { before: number | null; leaseSeconds: number | null }): Promise<void>;
  /** What became of `n` (null: nothing yet), and claims to stop. */
  poll(n: number): Promise<{ outcome: ParkedOutcome | null; stop: ClaimRef[] }>;
  /** Holds the lease; claims to stop. */
  beat(leaseSeconds: number): Promise<ClaimRef[]>;
};

export function openRedis({ url, token }: KvAccess): Redis {
  return new Redis({
    url: url.href.replace(/\/+$/, ""),
    token,
    retry: { retries: 0 },
    automaticDeserialization: false,
    enableTelemetry: false,
    readYourWrites: false,
    responseEncoding: false,
    signal: () => AbortSignal.timeout(TIMEOUT_MS),
  });
}

const StopsSchema = z.array(z.string()).nullable();
const PollSchema = z.tuple([z.string().nullable(), z.number(), StopsSchema]);
const BeatSchema = z.tuple([z.unknown(), StopsSchema]);

export function createParkedRedis(redis: Redis, prefix: string, session: string): ParkedRedis {
  const keys = parkedKeys(prefix, session);
  return {
    async park(n, body, { before, leaseSeconds }) {
      const commands = redis.multi();
      if (before !== null) commands.hdel(keys.out, String(before));
      commands.hset(keys.out, { [String(n)]: body }).expire(keys.out, PARKED_TTL_SECONDS);
      if (leaseSeconds !== null) commands.set(keys.alive, "1", { ex: leaseSeconds });
      await told(commands.exec());
    },
    async poll(n) {
      const field = String(n);
      const commands = redis.pipeline().hget(keys.in, field).hexists(keys.out, field).lpop(keys.stop, MAX_STOPS);
      const [text, isThere, stops] = PollSchema.parse(await told(commands.exec()));
      if (text !== null) redis.hdel(keys.in, field).catch(() => {});
      const outcome = text === null ? null : ParkedOutcomeSchema.parse(parseJson(text));
      const stop = claimsOf(stops);
      return { outcome: outcome ?? (isThere === 0 ? { outcome: "missing" } : null), stop };
    },
    async beat(leaseSeconds) {
      const commands = redis.pipeline().set(keys.alive, "1", { ex: leaseSeconds }).lpop(keys.stop, MAX_STOPS);
      return claimsOf(BeatSchema.parse(await told(commands.exec()))[1]);
    },
  };
}

function claimsOf(stops: string[] | null): ClaimRef[] {
  return (stops ?? []).map((text) => ClaimRefSchema.parse(parseJson(text)));
}

/** The reply, or an error without what was sent. */
async function told(call: Promise<unknown>): Promise<unknown> {
  try {
    return await call;
  } catch (error) {
    const why = describeKvError(error);
    if (TOO_LARGE.test(why)) throw new StatusError(413, "Redis", why);
    throw new TransportError(`Redis: ${why}`);
  }
}
