/** Records as the dialect shows them, out of what a fetch brings. */
import { findErrorBy } from "@platformatic/kafka";
import type { Consumer, FetchOptions } from "@platformatic/kafka";

export type FetchResponse = Awaited<ReturnType<Consumer["fetch"]>>;
export type FetchRequestTopic = FetchOptions<Buffer, Buffer, Buffer, Buffer>["topics"][number];

const CONTROL_BATCH = 0x20;

export type RestRecord = {
  topic: string;
  partition: number;
  offset: number;
  timestamp: number;
  key: string;
  value: string;
  headers: { key: string; value: string }[];
};

export type FetchedPartition = {
  topic: string;
  partition: number;
  records: RestRecord[];
  /** Where to fetch next; beyond the last record where the log ends in control records or gaps. */
  nextOffset: bigint;
  errorCode: number;
  logStartOffset: bigint;
  highWatermark: bigint;
};

/**
 * Reads the partitions of a fetch. `topicNames` maps topic ids to names; `from` gives the offset that was asked for, so
 * that earlier records of the same compressed batch are left out, and partitions that were not asked for too.
 */
export function readFetch(
  response: FetchResponse,
  topicNames: ReadonlyMap<string, string>,
  from: (topic: string, partition: number) => bigint | undefined,
): FetchedPartition[] {
  const partitions: FetchedPartition[] = [];
  for (const topicResponse of response.responses) {
    const topic = topicNames.get(topicResponse.topicId);
    if (topic === undefined) continue;
    for (const answer of topicResponse.partitions) {
      const partition = answer.partitionIndex;
      const start = from(topic, partition);
      if (start === undefined) continue;
      const records: RestRecord[] = [];
      let nextOffset = start;
      for (const batch of answer.records ?? []) {
        const end = batch.firstOffset + BigInt(batch.lastOffsetDelta) + 1n;
        if (end > nextOffset) nextOffset = end;
        if ((batch.attributes & CONTROL_BATCH) !== 0) continue;
        for (const record of batch.records) {
          const offset = batch.firstOffset + BigInt(record.offsetDelta);
          if (offset < start) continue;
          records.push({
            topic,
            partition,
            offset: Number(offset),
            timestamp: Number(batch.firstTimestamp + record.timestampDelta),
            key: text(record.key),
            value: text(record.value),
            headers: record.headers.map(([key, value]) => ({ key: text(key), value: text(value) })),
          });
        }
      }
      const { errorCode, logStartOffset, highWatermark } = answer;
      partitions.push({ topic, partition, records, nextOffset, errorCode, logStartOffset, highWatermark });
    }
  }
  return partitions;
}

/** A fetch that fails for one partition throws, yet carries the others' records: they are used. */
export function responseOf(error: unknown): FetchResponse {
  const found = error instanceof Error ? findResponse(error, 0) : undefined;
  if (found === undefined) throw error;
  return found;
}

function findResponse(error: Error, depth: number): FetchResponse | undefined {
  const response: unknown = "response" in error ? error.response : undefined;
  if (
    isFetchResponse(response) &&
    response.errorCode === 0 &&
    findErrorBy(error, "apiId", "OFFSET_OUT_OF_RANGE") !== null
  )
    return response;
  if (!(error instanceof AggregateError) || depth > 3) return undefined;
  for (const inner of error.errors) {
    const found = inner instanceof Error ? findResponse(inner, depth + 1) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

function isFetchResponse(value: unknown): value is FetchResponse {
  return typeof value === "object" && value !== null && "responses" in value && "errorCode" in value;
}

/** A rough size of a record in a reply. */
export function recordBytes(record: RestRecord): number {
  let bytes = record.value.length + record.key.length + 120;
  for (const { key, value } of record.headers) bytes += key.length + value.length + 24;
  return bytes;
}

function text(bytes: Buffer | null): string {
  return bytes === null ? "" : bytes.toString("utf8");
}
