/** Calls of the log over HTTP, in the Upstash dialect that gateway and bridge speak. */
import * as z from "zod";
import type { KafkaAccess } from "./config.ts";
import { CliError, exitCodes, messageOf } from "./errors.ts";

const CALL_LIMIT_MS = 30_000;
/** Places that one call may name. */
const MAX_PLACES = 1000;

const RefusalSchema = z.object({ error: z.string(), code: z.string().optional() });
const TopicsSchema = z.record(z.string(), z.number());
const ConsumersSchema = z.array(
  z.object({
    name: z.string(),
    instances: z.array(
      z.object({
        name: z.string(),
        topics: z.array(z.object({ topic: z.string(), partitions: z.array(z.number()) })),
      }),
    ),
  }),
);
const PlacesSchema = z.array(z.object({ topic: z.string(), partition: z.number(), offset: z.number() }));

export type Group = z.infer<typeof ConsumersSchema>[number];
type Partition = { topic: string; partition: number };

export type KafkaLog = {
  url: string;
  /** Partitions of each topic that the user may see. */
  topics(): Promise<Record<string, number>>;
  groups(): Promise<Group[]>;
  /** The first offset that is there, or the next to be written, of each partition. */
  offsets(at: "earliest" | "latest", partitions: readonly Partition[]): Promise<Map<string, number>>;
  /** The next offset that the group reads of each; -1: none is committed. */
  committed(group: string, partitions: readonly Partition[]): Promise<Map<string, number>>;
};

/** Key of the maps. */
export function placeKey({ topic, partition }: Partition): string {
  return `${topic} ${partition}`;
}

export function createKafkaLog(access: KafkaAccess): KafkaLog {
  const url = access.url.replace(/\/+$/, "");
  const authorization = `Basic ${Buffer.from(`${access.username}:${access.password}`).toString("base64")}`;
  const call = async <T>(schema: z.ZodType<T>, path: string, body?: unknown): Promise<T> => {
    const init = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
    const headers = { authorization, "content-type": "application/json" };
    const signal = AbortSignal.timeout(CALL_LIMIT_MS);
    const answer = await fetch(`${url}${path}`, { ...init, headers, signal }).catch((error: unknown) => {
      const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
      throw new CliError(`${url} can't be reached: ${messageOf(cause)}`, exitCodes.unreachable);
    });
    const json: unknown = await answer.json().catch(() => undefined);
    if (!answer.ok) throw refusal(url, answer.status, json);
    const parsed = schema.safeParse(json);
    if (parsed.success) return parsed.data;
    throw new CliError(`${url}${path} answered something else than expected: ${z.prettifyError(parsed.error)}`);
  };
  const places = async (path: string, partitions: readonly Partition[]): Promise<Map<string, number>> => {
    const found = new Map<string, number>();
    for (let start = 0; start < partitions.length; start += MAX_PLACES) {
      const part = partitions.slice(start, start + MAX_PLACES);
      for (const place of await call(PlacesSchema, path, part)) found.set(placeKey(place), place.offset);
    }
    return found;
  };
  return {
    url,
    topics: async () => call(TopicsSchema, "/topics"),
    groups: async () => call(ConsumersSchema, "/consumers"),
    offsets: async (at, partitions) => places(`/offsets/${at}`, partitions),
    committed: async (group, partitions) =>
      places(`/committed/${encodeURIComponent(group)}/edgeplane-command`, partitions),
  };
}

function refusal(url: string, status: number, answer: unknown): CliError {
  const said = RefusalSchema.safeParse(answer);
  const words = said.success ? `${said.data.error} (${said.data.code ?? status})` : `${url} answered ${status}`;
  if (status === 404)
    return new CliError(
      words,
      exitCodes.notFound,
      `${url} serves no log over HTTP, or it has no users: set KAFKA_USERS (docs/kafka.md).`,
    );
  if (status === 401 || status === 403)
    return new CliError(words, exitCodes.forbidden, "Set EDGEPLANE_KAFKA_USERNAME and EDGEPLANE_KAFKA_PASSWORD.");
  return new CliError(words, status >= 500 ? exitCodes.unreachable : exitCodes.failed);
}
