/** The bodies of the Upstash Kafka REST dialect. A member that may be left out may be null too. */
import * as z from "zod";
import { EdgeplaneError } from "./errors.ts";
import { safeParse } from "./safe-parse.ts";
import { noTopicName, TOPIC_PATTERN } from "./kafka-names.ts";

const MAX_RECORDS = 10_000;
const MAX_PLACES = 1000;
const MAX_TOPICS = 300;
const MAX_HEADERS = 1000;

/** Records are UTF-8, which has no half surrogate pairs: each becomes U+FFFD, as Kafka's own clients have it. */
const text = z.string().transform((value) => value.toWellFormed());
const topic = z.string().regex(TOPIC_PATTERN, { error: ({ input }) => noTopicName(String(input)) });
const partition = z.number().int().min(0).max(1_000_000);
const offset = z.number().int().min(0);
const timeout = z.number().min(0).nullish();

export const RecordSchema = z.object({
  topic,
  value: text,
  key: text.nullish(),
  partition: partition.nullish(),
  /** Milliseconds since the epoch; the log's clock when left out. */
  timestamp: z.number().int().min(0).nullish(),
  headers: z
    .array(z.object({ key: text, value: text }))
    .max(MAX_HEADERS)
    .nullish(),
});
export type DialectRecord = z.infer<typeof RecordSchema>;

const TopicPartitionSchema = z.object({ topic, partition });
const TopicPartitionOffsetSchema = TopicPartitionSchema.extend({ offset });

/** One, or a list of them, as the dialect allows almost everywhere. */
function oneOrMany<T extends z.ZodType>(schema: T, max: number, min = 1) {
  return z.preprocess(
    (value): unknown[] => (Array.isArray(value) ? value : [value]),
    z.array(schema).min(min, "name at least one").max(max),
  );
}

export const ProduceSchema = oneOrMany(RecordSchema, MAX_RECORDS);
export const PartitionsSchema = oneOrMany(TopicPartitionSchema, MAX_PLACES);
/** None: all that was consumed. */
export const CommitSchema = z.preprocess(
  (value) => (isEmpty(value) ? [] : value),
  oneOrMany(TopicPartitionOffsetSchema, MAX_PLACES, 0),
);

function isEmpty(value: unknown): boolean {
  return value === null || value === undefined || (typeof value === "object" && Object.keys(value).length === 0);
}

export const ConsumeSchema = z
  .object({ topic: topic.nullish(), topics: z.array(topic).max(MAX_TOPICS).nullish(), timeout })
  .transform((body, context) => {
    const topics = [...new Set([...(body.topics ?? []), ...(typeof body.topic === "string" ? [body.topic] : [])])];
    if (topics.length === 0) context.addIssue("name a `topic`, or some `topics`");
    return { topics, timeout: body.timeout ?? undefined };
  });

export const FetchSchema = z
  .object({
    topic: topic.nullish(),
    partition: partition.nullish(),
    offset: offset.nullish(),
    topicPartitionOffsets: z.array(TopicPartitionOffsetSchema).max(MAX_PLACES).nullish(),
    timeout,
  })
  .transform((body, context) => {
    const from = [...(body.topicPartitionOffsets ?? [])];
    if (typeof body.topic === "string") {
      const single = TopicPartitionOffsetSchema.safeParse(body);
      if (single.success) from.unshift(single.data);
      else context.addIssue("a `topic` needs a `partition` and an `offset`");
    } else if (from.length === 0) {
      context.addIssue("name a `topic`, `partition` and `offset`, or `topicPartitionOffsets`");
    }
    return { from, timeout: body.timeout ?? undefined };
  });

/** Validates `value`. Throws `invalid_request`, which names the first members that are wrong and where they stand. */
export function parse<T extends z.ZodType>(schema: T, value: unknown, where = "body"): z.output<T> {
  const result = safeParse(schema, value);
  if (result.success) return result.data;
  const issues = result.error.issues.slice(0, 5).map((issue) => {
    // A single one was made a list of one.
    const path = Array.isArray(value) || issue.path[0] !== 0 ? issue.path : issue.path.slice(1);
    const at = path.map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`)).join("");
    return `${where}${at}: ${issue.message}`;
  });
  throw new EdgeplaneError("invalid_request", `${issues.join("; ")}.`);
}
