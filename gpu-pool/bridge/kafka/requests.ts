/**
 * The dialect's requests, in their POST and GET forms, checked.
 * Shapes: Upstash's REST documentation (produce, consume, metadata) and what `@upstash/kafka` 1.3.5 sends.
 */
import * as z from "zod";
import { ROOM_HEADER } from "../../../src/contract/claim.ts";
import { EdgeplaneError } from "../../../src/contract/errors.ts";
import { safeParse } from "../../../src/contract/safe-parse.ts";
import { parseJson } from "../http.ts";
import type { Request } from "../http.ts";

/** Headers that say something about the connection or the caller, not about the event. */
const TRANSPORT_HEADERS =
  /^(accept|accept-.*|authorization|connection|content-length|cookie|expect|forwarded|host|keep-alive|origin|proxy-.*|referer|sec-.*|te|transfer-encoding|upgrade|via|x-forwarded-.*|x-real-ip)$/;

const TopicSchema = z.string().min(1).max(249);
const PartitionSchema = z.number().int().min(0).max(1_000_000);
const OffsetSchema = z.number().int().min(0);

const RecordSchema = z.object({
  topic: TopicSchema,
  value: z.string(),
  key: z.string().optional(),
  partition: PartitionSchema.optional(),
  timestamp: z.number().int().min(0).optional(),
  headers: z
    .array(z.object({ key: z.string(), value: z.string() }))
    .max(1000)
    .optional(),
});
export const ProduceSchema = z.union([
  RecordSchema.transform((record) => [record]),
  z.array(RecordSchema).min(1).max(20_000),
]);

const TopicPartitionSchema = z.object({ topic: TopicSchema, partition: PartitionSchema });
const TopicPartitionOffsetSchema = TopicPartitionSchema.extend({ offset: OffsetSchema });
const listOf = <T extends z.ZodType>(schema: T) =>
  z.union([schema.transform((one) => [one]), z.array(schema).max(10_000)]);

export const PartitionsSchema = listOf(TopicPartitionSchema);
export const OffsetsSchema = listOf(TopicPartitionOffsetSchema);

export const ConsumeSchema = z
  .object({
    topic: TopicSchema.optional(),
    topics: z.array(TopicSchema).max(100).optional(),
    timeout: z.number().min(0).optional(),
  })
  .transform(({ topic, topics, timeout }) => ({
    topics: [...new Set([...(topics ?? []), ...(topic === undefined ? [] : [topic])])],
    timeout,
  }))
  .refine(({ topics }) => topics.length > 0, { message: "name a topic, or topics" });

export const FetchSchema = z
  .object({
    topic: TopicSchema.optional(),
    partition: PartitionSchema.optional(),
    offset: OffsetSchema.optional(),
    topicPartitionOffsets: z.array(TopicPartitionOffsetSchema).max(1000).optional(),
    timeout: z.number().min(0).optional(),
  })
  .transform(({ topic, partition, offset, topicPartitionOffsets, timeout }) => ({
    partitions: [
      ...(topicPartitionOffsets ?? []),
      ...(topic === undefined ? [] : [{ topic, partition: partition ?? 0, offset: offset ?? 0 }]),
    ],
    timeout,
  }))
  .refine(({ partitions }) => partitions.length > 0, {
    message: "name a topic with partition and offset, or topicPartitionOffsets",
  });

const FlagSchema = z.enum(["true", "false"]).transform((text) => text === "true");
const ConsumeHeadersSchema = z.object({
  autoCommit: FlagSchema.default(true),
  autoCommitIntervalMs: z.coerce.number().int().min(100).max(3_600_000).default(5000),
  offsetReset: z.enum(["earliest", "latest", "none"]).default("latest"),
  room: z.coerce.number().int().min(0).max(1_000_000).optional(),
});
export type ConsumeHeaders = z.infer<typeof ConsumeHeadersSchema>;

/** The consumer settings that ride in headers; those of an instance's first consume count. */
export function consumeHeaders(request: Request): ConsumeHeaders {
  return check(ConsumeHeadersSchema, {
    autoCommit: request.header("kafka-enable-auto-commit"),
    autoCommitIntervalMs: request.header("kafka-auto-commit-interval"),
    offsetReset: request.header("kafka-auto-offset-reset"),
    room: request.header(ROOM_HEADER),
  });
}

/** What a produce holds: a record or several, whose topic may be in the path; or `/produce/{topic}/{value}?key=`. */
export function produceRequest(request: Request): z.infer<typeof ProduceSchema> {
  const [, topic, value] = request.segments;
  if (topic === undefined) return check(ProduceSchema, parseJson(request.body));
  if (value !== undefined) {
    const key = request.query.get("key");
    return check(ProduceSchema, { topic, value, ...(key === null ? {} : { key }) });
  }
  const body = parseJson(request.body);
  const placed = Array.isArray(body) ? body.map((record: unknown) => placeIn(record, topic)) : placeIn(body, topic);
  return check(ProduceSchema, placed);
}

/** A call of somebody's webhook: the body becomes the value of a record for `?topic=`, and headers of its own ride along. */
export function webhookRequest(request: Request): z.infer<typeof ProduceSchema> {
  const headers = request.headers
    .filter(([name]) => !TRANSPORT_HEADERS.test(name))
    .map(([key, value]) => ({ key, value }));
  const key = request.query.get("key");
  const record = { topic: request.query.get("topic") ?? undefined, value: request.body.toString("utf8"), headers };
  return check(ProduceSchema, { ...record, ...(key === null ? {} : { key }) });
}

/** What a consume holds: a body, or `/consume/{group}/{instance}/{topic}?timeout=`. */
export function consumeRequest(request: Request): z.infer<typeof ConsumeSchema> {
  const topic = request.segments[3];
  const body = topic === undefined ? parseJson(request.body) : { topic };
  return check(ConsumeSchema, withTimeout(request, body));
}

/** What a fetch holds: a body, or `/fetch/{topic}/{partition}/{offset}?timeout=`. */
export function fetchRequest(request: Request): z.infer<typeof FetchSchema> {
  const named = (name: string, at: number) => request.segments[at] ?? request.query.get(name) ?? undefined;
  const [topic, partition, offset] = [named("topic", 1), named("partition", 2), named("offset", 3)];
  const body =
    topic === undefined
      ? parseJson(request.body)
      : { topic, partition: Number(partition ?? 0), offset: Number(offset ?? 0) };
  return check(FetchSchema, withTimeout(request, body));
}

/** Partitions out of a body, or out of `/{topic}/{partition}` from segment `at`; undefined when neither names any. */
export function partitionsRequest(request: Request, at: number): z.infer<typeof PartitionsSchema> | undefined {
  const topic = request.segments[at];
  const body =
    topic === undefined ? parseJson(request.body) : { topic, partition: Number(request.segments[at + 1] ?? 0) };
  return body === undefined || body === null ? undefined : check(PartitionsSchema, body);
}

/** The offsets to commit; undefined, or none, means all that was consumed. */
export function commitRequest(request: Request): z.infer<typeof OffsetsSchema> | undefined {
  const [, , , topic, partition, offset] = request.segments;
  const body =
    topic === undefined
      ? parseJson(request.body)
      : { topic, partition: Number(partition ?? 0), offset: Number(offset) };
  if (body === undefined || body === null) return undefined;
  const offsets = check(OffsetsSchema, body);
  return offsets.length === 0 ? undefined : offsets;
}

/** Checks `value`. Throws `invalid_request` that names the first faults by their path. */
export function check<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const result = safeParse(schema, value);
  if (result.success) return result.data;
  throw new EdgeplaneError(
    "invalid_request",
    `The request is not valid: ${faults(result.error.issues).slice(0, 3).join("; ")}.`,
  );
}

function faults(issues: readonly z.core.$ZodIssue[]): string[] {
  return issues.flatMap((issue) => {
    const best = issue.code === "invalid_union" ? deepest(issue.errors) : [];
    if (best.length > 0) return faults(best);
    const path = issue.path.map(String).join(".");
    return [path === "" ? issue.message : `${path}: ${issue.message}`];
  });
}

/** Of a union's alternatives, the one that came furthest: its faults lie deepest. */
function deepest(alternatives: readonly (readonly z.core.$ZodIssue[])[]): readonly z.core.$ZodIssue[] {
  const depth = (issues: readonly z.core.$ZodIssue[]) => Math.min(...issues.map((issue) => issue.path.length), 99);
  return alternatives.toSorted((a, b) => depth(b) - depth(a))[0] ?? [];
}

function placeIn(record: unknown, topic: string): unknown {
  return typeof record === "object" && record !== null ? { ...record, topic } : record;
}

function withTimeout(request: Request, body: unknown): unknown {
  const timeout = request.query.get("timeout");
  if (timeout === null || typeof body !== "object" || body === null) return body;
  return { ...body, timeout: Number(timeout) };
}
