/** How far the lanes' pools are behind in the embedded log: records that no pool has committed. Pure. */
import type { BrokerStats } from "./protocol.ts";

const JOB_TOPIC = /^jobs\.(.+)\.(?:high|normal|low)$/;

export type LaneLag = { lane: string; topic: string; lag: number };

/** By topic; a partition that its group never committed counts from the first record that is kept. */
export function laneLags(brokers: readonly BrokerStats[]): LaneLag[] {
  const lags = new Map<string, LaneLag>();
  for (const { partitions, lag: committed } of brokers) {
    for (const { topic, partition, start, end } of partitions) {
      const lane = JOB_TOPIC.exec(topic)?.[1];
      if (lane === undefined) continue;
      const own = committed.find(
        (entry) => entry.group === `lane.${lane}` && entry.topic === topic && entry.partition === partition,
      );
      const behind = own === undefined ? end - start : Math.max(0, end - Math.max(start, own.committed));
      const before = lags.get(topic)?.lag ?? 0;
      lags.set(topic, { lane, topic, lag: before + behind });
    }
  }
  return [...lags.values()];
}
