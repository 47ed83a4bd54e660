/** Reads a topic over the Kafka-over-HTTP dialect (docs/kafka.md), without a group: a sink keeps its own offsets. */
import * as z from "zod";

export type LogAccess = { url: string; username: string; password: string };

const RecordSchema = z.object({ partition: z.number().int(), offset: z.number().int(), value: z.string() });
export type ReadRecord = z.output<typeof RecordSchema>;
const PlacesSchema = z.array(z.object({ partition: z.number().int(), offset: z.number().int() }));

const CALL_MS = 40_000;
/** How long a call waits for records. */
const WAIT_MS = 5000;

export type TopicReader = {
  /**
   * The next records behind these offsets, in the order of each partition; none after a while without. `only`: of these
   * partitions.
   */
  read(offsets: Readonly<Record<string, number>>, only?: ReadonlySet<number>): Promise<ReadRecord[]>;
};

export function createTopicReader(
  { url, username, password }: LogAccess,
  topic: string,
  waitMs = WAIT_MS,
): TopicReader {
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;

  async function call(path: string, body?: unknown): Promise<unknown> {
    const response = await fetch(`${url.replace(/\/$/, "")}${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: { authorization, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(CALL_MS),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`the log answered ${response.status} to ${path}: ${text.slice(0, 300)}`);
    return JSON.parse(text);
  }

  /** What retention has removed is left out: a place before the oldest record is moved there. */
  async function places(offsets: Readonly<Record<string, number>>, only: ReadonlySet<number> | undefined) {
    const topics = z.record(z.string(), z.number().int()).parse(await call("/topics"));
    const all = Array.from({ length: topics[topic] ?? 0 }, (_, partition) => ({ topic, partition }));
    const partitions = all.filter(({ partition }) => only?.has(partition) ?? true);
    if (partitions.length === 0) return [];
    const oldest = PlacesSchema.parse(await call("/offsets/earliest", partitions));
    return oldest.map(({ partition, offset }) => ({
      topic,
      partition,
      offset: Math.max(offset, offsets[String(partition)] ?? 0),
    }));
  }

  return {
    async read(offsets, only) {
      const topicPartitionOffsets = await places(offsets, only);
      if (topicPartitionOffsets.length === 0) {
        await new Promise((resolve) => setTimeout(resolve, waitMs));
        return [];
      }
      return z.array(RecordSchema).parse(await call("/fetch", { topicPartitionOffsets, timeout: waitMs }));
    },
  };
}
