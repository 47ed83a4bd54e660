/**
 * `delivery: kv`: a pool parks its event requests in a Redis over the Upstash REST dialect, and the edge collects them.
 * Each pool session has its keys, under a prefix that the pool's token for Redis may be limited to:
 *
 *   <prefix><session>:out     hash, number → EventsRequest: what the pool parked and the edge has not answered
 *   <prefix><session>:in      hash, number → ParkedOutcome: the edge's answers, while the control channel is down
 *   <prefix><session>:stop    list of ClaimRef: claims to stop, while the control channel is down
 *   <prefix><session>:alive   a lease long, while the control channel is down: the pool's heartbeat
 *   <prefix>probe:<probe>     holds <probe>; written by the pool, read by the edge: that both mean the same Redis
 */
import * as z from "zod";
import { EventsReplySchema } from "./event.ts";

export function parkedKeys(prefix: string, session: string) {
  const base = `${prefix}${session}`;
  return {
    out: `${base}:out`,
    in: `${base}:in`,
    stop: `${base}:stop`,
    alive: `${base}:alive`,
  };
}
export type ParkedKeys = ReturnType<typeof parkedKeys>;

export function probeKey(prefix: string, probe: string): string {
  return `${prefix}probe:${probe}`;
}

/** How long anything parked stays: a result whose pool is gone can be found for so long. */
export const PARKED_TTL_SECONDS = 24 * 3600;

/** Where the prefix of a pool begins unless both sides are told otherwise. */
export const DEFAULT_KV_PREFIX = "edgeplane:";

/**
 * What became of a parked request. `refused`: the edge says that its content is wrong (or may not be), with the status
 * that `/pool/v1/events` would have answered. `missing`: it isn't there any more; park it again.
 */
export const ParkedOutcomeSchema = z.discriminatedUnion("outcome", [
  z.object({ outcome: z.literal("answered"), reply: EventsReplySchema }),
  z.object({ outcome: z.literal("refused"), status: z.number().int(), message: z.string() }),
  z.object({ outcome: z.literal("missing") }),
]);
export type ParkedOutcome = z.infer<typeof ParkedOutcomeSchema>;

/**
 * What went wrong between here and Redis, in words for an operator. `@upstash/redis` puts the whole command, and with
 * it outputs, into its messages: that part is cut off.
 */
export function describeKvError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError" || error.name === "AbortError") return "it did not answer in time";
  if (error.name === "UpstashJSONParseError") return "it did not answer in JSON: no Redis over REST is there";
  const { cause } = error;
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : null;
  const [message = ""] = error.message.split(", command was: ");
  if (message === "undefined") return "it answered, but not as a Redis over REST does";
  return (code === null ? message : `${message} (${code})`).slice(0, 300);
}
