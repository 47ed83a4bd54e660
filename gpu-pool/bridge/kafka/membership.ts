/**
 * The two ways in which a consumer is a member of its group. `classic`: members meet at every change, and one of them
 * assigns. `consumer` (KIP-848, Kafka 4): the broker assigns, and tells each member in its heartbeats; who keeps its
 * partitions doesn't notice a change. In a group with members of both kinds the classic ones wait for long: don't mix
 * them.
 */
import { findErrorBy } from "@platformatic/kafka";
import type { Consumer, ConsumerOptions } from "@platformatic/kafka";
import { rangeAssigner } from "./assigner.ts";

export type GroupProtocol = "classic" | "consumer";

type RawConsumer = Consumer;
type Told = {
  /** What the consumer has been given may have changed. */
  assigned(): void;
  /** It is being changed; what was given is not to be relied on until `assigned`. */
  changing(): void;
  /** The broker let it go: others may have had its partitions since, though it gets them again under its old id. */
  expelled(): void;
  /** It is no member any more. */
  lost(error: Error): void;
};

export type Membership = {
  readonly options: Partial<ConsumerOptions<Buffer, Buffer, Buffer, Buffer>>;
  /** Whether a topic that grew must be told to the group by joining again. */
  readonly joinsForNewPartitions: boolean;
  watch(consumer: RawConsumer, told: Told): void;
  join(consumer: RawConsumer, topics: readonly string[]): Promise<void>;
};

/** `staticId` names the same member over all lives of its process. */
export function createMembership(protocol: GroupProtocol, staticId: string | undefined): Membership {
  return protocol === "classic" ? classic(staticId) : brokerAssigned(staticId);
}

function classic(staticId: string | undefined): Membership {
  return {
    options: {
      protocols: [{ name: "range", version: 1 }],
      partitionAssigner: rangeAssigner,
      ...(staticId === undefined ? {} : { groupInstanceId: staticId }),
    },
    joinsForNewPartitions: true,
    watch(consumer, told) {
      consumer.on("consumer:group:join", told.assigned);
      consumer.on("consumer:group:rebalance", told.changing);
    },
    async join(consumer, topics) {
      for (const topic of topics) if (!consumer.topics.has(topic)) consumer.topics.track(topic);
      await consumer.joinGroup({ partitionAssigner: rangeAssigner });
    },
  };
}

/**
 * The client's id is the member's, so that a process that was killed takes its partitions back with its next life. (As
 * a static member it would wait for the end of its session, 45 s by the broker's default, which clients can't shorten.)
 */
function brokerAssigned(staticId: string | undefined): Membership {
  let known: unknown = null;
  return {
    options: { groupProtocol: "consumer", groupRemoteAssignor: "range" },
    joinsForNewPartitions: false,
    watch(consumer, told) {
      consumer.on("consumer:group:rebalance", told.changing);
      consumer.on("consumer:heartbeat:end", () => {
        if (consumer.assignments === known) return;
        known = consumer.assignments;
        told.assigned();
      });
      consumer.on("consumer:heartbeat:error", (detail) => {
        const { error } = detail;
        const is = (...ids: string[]): boolean =>
          error !== undefined && ids.some((id) => findErrorBy(error, "apiId", id) !== null);
        if (is("UNKNOWN_MEMBER_ID", "FENCED_MEMBER_EPOCH")) told.expelled();
        if (error !== undefined && is("UNKNOWN_MEMBER_ID", "UNSUPPORTED_VERSION", "GROUP_AUTHORIZATION_FAILED"))
          told.lost(error);
      });
    },
    async join(consumer, topics) {
      // The library joins only when it opens a stream. The member fetches itself: the stream is closed, and the topics
      // are kept.
      consumer.topics.clear();
      if (staticId !== undefined) consumer.memberId = staticId;
      const stream = await consumer.consume({ topics: [...topics], mode: "latest" });
      await stream.close();
      consumer.topics.trackAll(...topics);
    },
  };
}
