/**
 * Range assignment (Kafka's RangeAssignor). Every broker computes it over a topic's whole list of partitions and keeps
 * the part that it hosts, so that brokers that see the same members agree; and as each partition is given out by its
 * own broker alone, it has one owner even while they don't.
 */

export type Subscriber = { instance: string; topics: ReadonlySet<string> };

/** The owner of each of the `partitionCount` partitions of `topic`, by partition; empty when nobody subscribes. */
export function assignRange(topic: string, partitionCount: number, subscribers: readonly Subscriber[]): string[] {
  const members = subscribers
    .filter((subscriber) => subscriber.topics.has(topic))
    .map((subscriber) => subscriber.instance)
    .toSorted();
  if (members.length === 0) return [];
  const each = Math.floor(partitionCount / members.length);
  const extra = partitionCount % members.length;
  return members.flatMap((member, index) => Array.from({ length: each + (index < extra ? 1 : 0) }, () => member));
}
