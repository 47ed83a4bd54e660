/**
 * How far a consumer group is behind, per topic: records that it has not committed, from the first that is kept where
 * it never committed.
 */
import type { Cluster } from "./cluster.ts";
import type { Reader } from "./reader.ts";

export async function groupLag(
  cluster: Cluster,
  reader: Reader,
  group: string,
  topics: Iterable<string>,
): Promise<Map<string, number>> {
  const committed = await reader.committed(group, undefined);
  const lags = new Map<string, number>();
  for (const topic of topics) {
    const { leaders } = await cluster.topic(topic);
    const partitions = leaders.map((_leader, partition) => ({ topic, partition }));
    const [first, last] = await Promise.all([
      reader.offsets(partitions, "earliest"),
      reader.offsets(partitions, "latest"),
    ]);
    let lag = 0;
    for (const [index, end] of last.entries()) {
      const own = committed.find((entry) => entry.topic === topic && entry.partition === end.partition)?.offset ?? -1;
      lag += Math.max(0, end.offset - (own < 0 ? (first[index]?.offset ?? 0) : own));
    }
    lags.set(topic, lag);
  }
  return lags;
}
