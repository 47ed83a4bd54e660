/** Records as the dialect shows them, out of what a fetch brings. */
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
 * Reads the partitions of a fetch. `topicNames` maps topic ids to names; `from` gives the offset that was asked for, so that
 * earlier records of the same compressed batch are left out, and partitions that were not asked for too.
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

/** A rough size of a record in a reply. */
export function recordBytes(record: RestRecord): number {
  return record.value.length + record.key.length + 120;
}

function text(bytes: Buffer | null): string {
  return bytes === null ? "" : bytes.toString("utf8");
}
