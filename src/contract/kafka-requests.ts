/**
 * The requests of the Upstash Kafka REST dialect, in their forms with and without a body, for every door that speaks
 * it: the embedded log and the bridge. Sources: upstash.com/docs/kafka/rest, and what `@upstash/kafka` 1.3.5 sends.
 */
import * as z from "zod";
import { MAX_ROOM, ROOM_HEADER } from "./claim.ts";
import { EdgeplaneError } from "./errors.ts";
import { checkName } from "./kafka-names.ts";
import { CommitSchema, ConsumeSchema, FetchSchema, parse, PartitionsSchema, ProduceSchema } from "./kafka-schemas.ts";
import type { DialectRecord } from "./kafka-schemas.ts";

/** A request as a door hands it on. */
export type DialectRequest = {
  readonly method: string;
  /** The path after the door's prefix, decoded; the call's name is the first. */
  readonly segments: readonly string[];
  readonly query: URLSearchParams;
  header(name: string): string | undefined;
  /** All headers, their names in lower case. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** The body, undefined without one. Throws `invalid_json`. */
  json(): unknown;
  /** The body as text. */
  text(): string;
};

export type TopicPartition = { topic: string; partition: number };
export type TopicPartitionOffset = TopicPartition & { offset: number };

export const resetPolicies = ["earliest", "latest", "none"] as const;

/** Headers of HTTP and of platforms; a webhook's others become record headers. */
const STANDARD_HEADERS =
  /^(host|accept(-.*)?|authorization|connection|content-.*|cookie|expect|user-agent|referer|origin|cache-control|pragma|te|via|keep-alive|proxy-.*|upgrade(-.*)?|forwarded|x-forwarded-.*|x-real-ip|cf-.*|cdn-loop|sec-.*|priority|transfer-encoding|mf-.*|true-client-ip)$/;

const readOrSend: readonly string[] = ["GET", "POST"];
const calls: ReadonlyMap<string, readonly string[]> = new Map([
  ...["produce", "webhook", "consume", "commit", "committed", "fetch", "offsets"].map(
    (name) => [name, readOrSend] as const,
  ),
  ...["topics", "consumers"].map((name) => [name, ["GET"]] as const),
  ["delete-consumer", ["POST", "DELETE"]],
]);

/** The call's name. Throws `not_found` and `method_not_allowed`. */
export function callOf({ segments: [name = ""], method }: DialectRequest): string {
  const methods = calls.get(name);
  if (methods === undefined) {
    throw new EdgeplaneError(
      "not_found",
      `There is no call /${name.slice(0, 80)} in this dialect; docs/kafka.md lists those that are.`,
    );
  }
  if (methods.includes(method)) return name;
  const allow = methods.join(", ");
  throw new EdgeplaneError("method_not_allowed", `Call /${name} with ${allow}.`, { headers: { allow } });
}

/**
 * The credentials of a call whose sender may be unable to set a header: a webhook's query may hold `user` and `pass`.
 */
export function queryCredentials({ segments, query }: Pick<DialectRequest, "segments" | "query">) {
  const [username, password] = [query.get("user"), query.get("pass")];
  return segments[0] === "webhook" && username !== null && password !== null ? { username, password } : null;
}

/**
 * What a produce holds: records, whose topic may stand in the path; or `/produce/{topic}/{value}?key=`, which is
 * answered by one place.
 */
export function produceRequest(request: DialectRequest): { records: DialectRecord[]; isSingle: boolean } {
  const [, topic, value] = request.segments;
  if (topic !== undefined && value !== undefined) {
    return { records: parse(ProduceSchema, { topic, value, key: request.query.get("key") }, "path"), isSingle: true };
  }
  const body = required(
    request,
    topic === undefined ? '[{"topic": "greetings", "value": "hello"}]' : '[{"value": "hello"}]',
  );
  const placed =
    topic === undefined ? body : Array.isArray(body) ? body.map((one) => placeIn(one, topic)) : placeIn(body, topic);
  return { records: parse(ProduceSchema, placed), isSingle: false };
}

/**
 * A call of somebody's webhook: the body becomes the value of a record for `?topic=`, and headers of its own ride
 * along.
 */
export function webhookRequest(request: DialectRequest): DialectRecord[] {
  const topic = request.query.get("topic");
  if (topic === null || topic === "")
    throw new EdgeplaneError("invalid_request", "Name the topic in the query: `/webhook?topic=…`.");
  const headers = request.headers
    .filter(([name]) => !STANDARD_HEADERS.test(name))
    .map(([key, value]) => ({ key, value }));
  return parse(ProduceSchema, { topic, value: request.text(), key: request.query.get("key"), headers }, "query");
}

/** What a consume holds: a body, or `/consume/{group}/{instance}/{topic}?timeout=`. */
export function consumeRequest(request: DialectRequest): { topics: string[]; timeoutMs: number | undefined } {
  const topic = request.segments[3];
  const body = topic === undefined ? required(request, '{"topic": "greetings", "timeout": 1000}') : { topic };
  const { topics, timeout } = parse(ConsumeSchema, body);
  return { topics, timeoutMs: timeout ?? queryTimeout(request) };
}

/**
 * What a fetch holds: a body, or topic, partition and offset as `/fetch/{topic}/{partition}/{offset}` or in the query.
 */
export function fetchRequest(request: DialectRequest): { from: TopicPartitionOffset[]; timeoutMs: number | undefined } {
  const named = (name: string, at: number) => request.segments[at] ?? request.query.get(name);
  const topic = named("topic", 1);
  const body =
    topic === null
      ? required(request, '{"topic": "greetings", "partition": 0, "offset": 0}')
      : { topic, partition: integer(named("partition", 2)), offset: integer(named("offset", 3)) };
  const { from, timeout } = parse(FetchSchema, body);
  return { from, timeoutMs: timeout ?? queryTimeout(request) };
}

/** Partitions out of a body, or out of `/{topic}/{partition}` from segment `at`. */
export function partitionsRequest(request: DialectRequest, at: number): TopicPartition[] {
  const topic = request.segments[at];
  if (topic !== undefined)
    return parse(PartitionsSchema, { topic, partition: integer(request.segments[at + 1]) }, "path");
  return parse(PartitionsSchema, required(request, '[{"topic": "greetings", "partition": 0}]'));
}

/** The offsets to commit; null: all that was consumed. */
export function commitRequest(request: DialectRequest): TopicPartitionOffset[] | null {
  const [, , , topic, partition, offset] = request.segments;
  const body = topic === undefined ? request.json() : { topic, partition: integer(partition), offset: integer(offset) };
  const offsets = parse(CommitSchema, body);
  return offsets.length === 0 ? null : offsets;
}

/** The time that `/offsets/{time}` asks for. */
export function offsetTime({ segments: [, text = ""] }: DialectRequest): "earliest" | "latest" | number {
  if (text === "earliest" || text === "latest") return text;
  const time = integer(text);
  if (time !== null && Number.isSafeInteger(time)) return time;
  throw new EdgeplaneError(
    "invalid_request",
    `\`${text.slice(0, 40)}\` is no time: send \`earliest\`, \`latest\`, or milliseconds since the epoch.`,
  );
}

/** The group and the instance that a path names. */
export function instanceRequest({ segments }: DialectRequest): { group: string; instance: string } {
  const [call, group, instance] = segments;
  if (group === undefined || instance === undefined)
    throw new EdgeplaneError("invalid_request", `Name the group and the instance: /${call}/{group}/{instance}.`);
  return { group: checkName("group", group), instance: checkName("instance", instance) };
}

const FlagSchema = z.enum(["true", "false"]).transform((flag) => flag === "true");
const IntervalSchema = z.coerce.number().int().min(0).max(3_600_000);
const RoomSchema = z.coerce.number().int().min(1).max(MAX_ROOM);

export type ConsumeHeaders = {
  autoCommit: boolean;
  autoCommitIntervalMs: number;
  offsetReset: (typeof resetPolicies)[number];
};

/** The settings of an instance, from the headers of its first consume. */
export function consumeHeaders(request: DialectRequest): ConsumeHeaders {
  const read = <T extends z.ZodType>(schema: T, name: string, otherwise: string) =>
    parse(schema, request.header(name.toLowerCase()) ?? otherwise, name);
  return {
    autoCommit: read(FlagSchema, "Kafka-Enable-Auto-Commit", "true"),
    autoCommitIntervalMs: read(IntervalSchema, "Kafka-Auto-Commit-Interval", "5000"),
    offsetReset: read(z.enum(resetPolicies), "Kafka-Auto-Offset-Reset", "latest"),
  };
}

/** How many records a consume may bring at most; undefined: as many as the door gives. */
export function roomOf(request: DialectRequest): number | undefined {
  const room = request.header(ROOM_HEADER);
  return room === undefined ? undefined : parse(RoomSchema, room, ROOM_HEADER);
}

/** The body, which must not be empty. */
function required(request: DialectRequest, example: string): unknown {
  const body = request.json();
  if (body !== undefined) return body;
  throw new EdgeplaneError("invalid_request", `The body is empty; send JSON like \`${example}\`.`);
}

function queryTimeout({ query }: DialectRequest): number | undefined {
  const timeout = query.get("timeout");
  return timeout === null ? undefined : parse(z.coerce.number().min(0), timeout, "timeout");
}

/** Digits as a number; null where there are none: then it is missed where it is needed. */
function integer(digits: string | null | undefined): number | null {
  return digits !== null && digits !== undefined && /^\d{1,16}$/.test(digits) ? Number(digits) : null;
}

function placeIn(record: unknown, topic: string): unknown {
  return typeof record === "object" && record !== null ? { ...record, topic } : record;
}
