/**
 * Kafka's range assignment: topic by topic, each member in the order of its id gets a run of partitions next to each
 * other.
 */
import type { GroupPartitionsAssigner } from "@platformatic/kafka";

/**
 * With it, topics of equal partition counts (a lane's three priorities) give the same partition numbers to the same
 * member, as the `RangeAssignor` of the Java client does.
 */
export const rangeAssigner: GroupPartitionsAssigner = (_current, members, _topics, metadata) => {
  const ids = [...members.keys()].toSorted();
  const result = new Map(
    ids.map((memberId) => [
      memberId,
      { memberId, assignments: new Map<string, { topic: string; partitions: number[] }>() },
    ]),
  );
  const subscribers = new Map<string, string[]>();
  for (const id of ids) {
    for (const topic of members.get(id)?.topics ?? []) subscribers.set(topic, [...(subscribers.get(topic) ?? []), id]);
  }
  for (const [topic, takers] of subscribers) {
    const count = metadata.topics.get(topic)?.partitionsCount ?? 0;
    const share = Math.floor(count / takers.length);
    const extra = count % takers.length;
    let next = 0;
    for (const [index, id] of takers.entries()) {
      const size = share + (index < extra ? 1 : 0);
      const partitions = Array.from({ length: size }, (_, position) => next + position);
      next += size;
      if (size > 0) result.get(id)?.assignments.set(topic, { topic, partitions });
    }
  }
  return [...result.values()];
};
