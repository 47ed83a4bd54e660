/**
 * A lane's consumer group at a cluster, for a pool that reads it natively: the same group and topics as through the
 * dialect.
 */
import { jobTopic } from "../../../src/contract/job.ts";
import { priorities } from "../../../src/contract/prediction.ts";
import type { PoolCluster } from "../settings.ts";
import { clientOptions, Cluster } from "./cluster.ts";
import { jobTopicWeight } from "./instances.ts";
import { groupLag } from "./lag.ts";
import { GroupMember } from "./member.ts";
import { Reader } from "./reader.ts";

const SESSION_TIMEOUT_MS = 10_000;
const HEARTBEAT_INTERVAL_MS = 1000;
const MAX_FETCH_BYTES = 1_048_576;

export type LaneGroup = {
  readonly lane: string;
  /**
   * Connects and looks for the lane's topics. Throws an `EdgeplaneError` that says what is wrong: address, password,
   * rights, topics.
   */
  probe(): Promise<void>;
  /** A member that has not joined yet; its first `take` joins. Throws like `probe` when a topic is missing. */
  open(): Promise<GroupMember>;
  /** Records that the lane's pools have not committed, by topic. */
  lag(): Promise<Map<string, number>>;
  close(): Promise<void>;
};

/**
 * The group `lane.<lane>` over the lane's three topics, which are created where `cluster.topics` allows. `poolId` names
 * the same pool in all its lives: one that is killed and starts again takes its own partitions back at once, instead of
 * waiting for its own end.
 */
export function createLaneGroup(cluster: PoolCluster, lane: string, poolId: string): LaneGroup {
  const connection = new Cluster(cluster);
  const reader = new Reader(connection);
  const groupId = `lane.${lane}`;
  const topics = priorities.map((priority) => jobTopic(lane, priority));
  const checkTopics = async () => {
    for (const topic of topics) await connection.topic(topic);
  };
  return {
    lane,
    async probe() {
      await connection.probe();
      await checkTopics();
    },
    async open() {
      await checkTopics();
      return new GroupMember({
        client: clientOptions(cluster),
        groupId,
        staticId: poolId,
        protocol: cluster.groupProtocol,
        topics,
        offsetReset: "earliest",
        sessionTimeoutMs: SESSION_TIMEOUT_MS,
        heartbeatIntervalMs: HEARTBEAT_INTERVAL_MS,
        maxFetchBytes: MAX_FETCH_BYTES,
        weightOf: jobTopicWeight,
      });
    },
    lag: async () => groupLag(connection, reader, groupId, topics),
    async close() {
      await reader.close();
      await connection.close();
    },
  };
}
