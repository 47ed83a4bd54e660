/** The bodies, headers and query parameters of the Upstash Kafka REST dialect (upstash.com/docs/kafka/rest), validated. */
import * as z from "zod";
import { ROOM_HEADER } from "../../contract/claim.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import { safeParse } from "../../contract/safe-parse.ts";
import { resetPolicies } from "../../log/protocol.ts";
import type { MemberOptions } from "../../log/protocol.ts";

/** Header that sends a consume to one broker of the embedded log. */
export const BROKER_HEADER = "edgeplane-broker";

export const MAX_TIMEOUT_MS = 60_000;
const DEFAULT_TIMEOUT_MS = 1000;
const DEFAULT_ROOM = 500;
const DEFAULT_SESSION_MS = 120_000;

const topic = z.string().min(1).max(249);
const partition = z.number().int().min(0).max(100_000);
const offset = z.number().int().min(0);
const timeout = z.number().min(0).optional();
const header = z.object({ key: z.string(), value: z.string() });

const MessageSchema = z.object({
  partition: partition.nullish(),
  /** Milliseconds since the epoch; the broker's clock when left out. */
  timestamp: z.number().int().min(0).nullish(),
  key: z.string().nullish(),
  value: z.string(),
  headers: z.array(header).max(100).nullish(),
});
const TopicMessageSchema = MessageSchema.extend({ topic });
const TopicPartitionSchema = z.object({ topic, partition });
const TopicPartitionOffsetSchema = TopicPartitionSchema.extend({ offset });

/** One, or a list of them, as the dialect allows almost everywhere. */
function oneOrMany<T extends z.ZodType>(schema: T, max: number) {
  return z.preprocess((value): unknown[] => (Array.isArray(value) ? value : [value]), z.array(schema).max(max));
}

export const ProduceSchema = oneOrMany(TopicMessageSchema, 10_000);
export const ProduceToTopicSchema = oneOrMany(MessageSchema, 10_000);
export type ProduceMessage = z.infer<typeof TopicMessageSchema>;

export const ConsumeSchema = z
  .object({ topic: topic.optional(), topics: z.array(topic).max(300).optional(), timeout })
  .refine((body) => body.topic !== undefined || (body.topics ?? []).length > 0, "name a `topic`, or some `topics`");

export const FetchSchema = z
  .object({
    topic: topic.optional(),
    partition: partition.optional(),
    offset: offset.optional(),
    topicPartitionOffsets: z.array(TopicPartitionOffsetSchema).max(1000).optional(),
    timeout,
  })
  .transform((body, context) => {
    const from = [...(body.topicPartitionOffsets ?? [])];
    if (body.topic !== undefined) {
      const single = TopicPartitionOffsetSchema.safeParse(body);
      if (single.success) from.unshift(single.data);
      else context.addIssue("a `topic` needs a `partition` and an `offset`");
    }
    if (from.length === 0) context.addIssue("name a `topic`, `partition` and `offset`, or `topicPartitionOffsets`");
    return { from, timeout: body.timeout };
  });

export const CommitSchema = z.preprocess(
  (value) => (value === null || (typeof value === "object" && Object.keys(value).length === 0) ? [] : value),
  oneOrMany(TopicPartitionOffsetSchema, 1000),
);
export const PartitionsSchema = oneOrMany(TopicPartitionSchema, 1000);

const NAME = /^[\x21-\x7e]{1,255}$/;

/** A consumer group's or an instance's name. */
export function parseName(what: string, name: string): string {
  if (NAME.test(name)) return name;
  throw new EdgeplaneError("invalid_request", `The ${what}'s name must be 1 to 255 visible ASCII characters.`);
}

/** Validates `value`; an `EdgeplaneError` names every field that is wrong. */
export function parse<T>(schema: z.ZodType<T>, value: unknown, where = "body"): T {
  const result = safeParse(schema, value);
  if (result.success) return result.data;
  const issues = result.error.issues.slice(0, 5).map((issue) => {
    const path = issue.path.map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`)).join("");
    return `${where}${path}: ${issue.message}`;
  });
  throw new EdgeplaneError("invalid_request", `${issues.join("; ")}.`);
}

/** How long a call may wait; the body's `timeout` or the query's. Longer than a minute is cut to it. */
export function timeoutMs(body: number | undefined, query: string | undefined): number {
  const value = body ?? (query === undefined ? DEFAULT_TIMEOUT_MS : parse(z.coerce.number().min(0), query, "timeout"));
  return Math.min(value, MAX_TIMEOUT_MS);
}

/** The settings of an instance, from the headers of its first consume. */
export function memberOptions(get: (name: string) => string | undefined): MemberOptions {
  const integer = (name: string, fallback: number, min: number, max: number): number => {
    const text = get(name);
    return text === undefined ? fallback : parse(z.coerce.number().int().min(min).max(max), text, name);
  };
  return {
    autoCommit:
      parse(z.enum(["true", "false"]), get("Kafka-Enable-Auto-Commit") ?? "true", "Kafka-Enable-Auto-Commit") ===
      "true",
    autoCommitIntervalMs: integer("Kafka-Auto-Commit-Interval", 5000, 0, 600_000),
    reset: parse(z.enum(resetPolicies), get("Kafka-Auto-Offset-Reset") ?? "latest", "Kafka-Auto-Offset-Reset"),
    sessionTimeoutMs: integer("Kafka-Session-Timeout-Ms", DEFAULT_SESSION_MS, 1000, 600_000),
  };
}

/** How many records a consume may return. */
export function room(text: string | undefined): number {
  return text === undefined ? DEFAULT_ROOM : parse(z.coerce.number().int().min(1).max(10_000), text, ROOM_HEADER);
}

export function brokerIndex(text: string | undefined): number | null {
  return text === undefined ? null : parse(z.coerce.number().int().min(0).max(10_000), text, BROKER_HEADER);
}
