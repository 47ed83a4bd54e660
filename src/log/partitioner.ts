/**
 * Chooses partitions as Kafka's default partitioner does: a keyed record by the murmur2 hash of its key, so that a key
 * keeps its partition when a topic moves between this log and a real cluster; keyless records in turn, some at a time.
 */

/** Keyless records that stay together: few enough to spread a burst over members, many enough to pack into one row. */
export const KEYLESS_RUN = 32;

const utf8 = new TextEncoder();

/** The partition of `key` among `partitionCount`. */
export function keyedPartition(key: string, partitionCount: number): number {
  return (murmur2(utf8.encode(key)) & 0x7fffffff) % partitionCount;
}

/** Turns through a topic's partitions; one per topic, starting anywhere. */
export function createKeylessTurns(random: () => number = Math.random): (topic: string, count: number) => number {
  const turns = new Map<string, { next: number; left: number }>();
  return (topic, count) => {
    const turn = turns.get(topic) ?? { next: Math.floor(random() * count), left: 0 };
    if (turn.left === 0) {
      turn.next = (turn.next + 1) % count;
      turn.left = KEYLESS_RUN;
    }
    turn.left--;
    if (turns.size > 10_000) turns.clear();
    turns.set(topic, turn);
    return turn.next % count;
  };
}

/** Murmur2 with Kafka's seed (org.apache.kafka.common.utils.Utils.murmur2), as a signed 32-bit integer. */
export function murmur2(data: Uint8Array): number {
  const m = 0x5bd1e995;
  const at = (index: number): number => data[index] ?? 0;
  let hash = 0x9747b28c ^ data.length;
  const whole = data.length & ~3;
  for (let index = 0; index < whole; index += 4) {
    let k = at(index) | (at(index + 1) << 8) | (at(index + 2) << 16) | (at(index + 3) << 24);
    k = Math.imul(k, m);
    k ^= k >>> 24;
    hash = Math.imul(hash, m) ^ Math.imul(k, m);
  }
  const tail = data.length & 3;
  if (tail === 3) hash ^= at(whole + 2) << 16;
  if (tail >= 2) hash ^= at(whole + 1) << 8;
  if (tail >= 1) hash = Math.imul(hash ^ at(whole), m);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, m);
  return hash ^ (hash >>> 15);
}
