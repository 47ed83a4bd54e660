/** What the Worker and a broker tell each other over RPC. Failures are values: an error's class is lost on the way. */
import { EdgeplaneError } from "../contract/errors.ts";
import type { ErrorCode } from "../contract/errors.ts";
import type { resetPolicies, TopicPartition, TopicPartitionOffset } from "../contract/kafka-requests.ts";

export type { TopicPartition, TopicPartitionOffset } from "../contract/kafka-requests.ts";

export type RecordHeader = { key: string; value: string };

/** A record as a consumer sees it. A record without a key has the key "". */
export type LogMessage = {
  topic: string;
  partition: number;
  offset: number;
  timestamp: number;
  key: string;
  value: string;
  headers: RecordHeader[];
};

export type TopicInfo = { topic: string; partitions: number };

/** `owner`: the user that made it; null: the edge. */
export type OwnedTopic = { partitions: number; owner: string | null };

/** Records of one partition, in order. `timestamp` is null where the broker is to set it. */
export type Append = TopicPartition & { partitionCount: number; owner: string | null; records: AppendRecord[] };
export type AppendRecord = { key: string | null; value: string; headers: RecordHeader[]; timestamp: number | null };
export type Appended = { baseOffset: number; timestamps: number[]; stride: number };

export type ResetPolicy = (typeof resetPolicies)[number];

/** Taken from the first consume of an instance. */
export type MemberOptions = {
  autoCommit: boolean;
  autoCommitIntervalMs: number;
  reset: ResetPolicy;
  sessionTimeoutMs: number;
};

/** Who calls: a user of `/kafka` or a pool token. An instance belongs to the one that made it. */
export type InstanceRef = { group: string; instance: string; principal: string };

export type ConsumeRequest = InstanceRef & {
  broker: { index: number; count: number };
  topics: TopicInfo[];
  options: MemberOptions;
  /** How many records at most. */
  room: number;
  timeoutMs: number;
  /** `wait`: only say whether there is something to take. */
  mode: "take" | "wait";
  /** Names the wait, for `cancelWait`. */
  waitId: string;
};
/** `superseded`: the instance consumed again meanwhile, or was removed; this consume is over. */
export type ConsumeReply = { ready: boolean; superseded: boolean; messages: LogMessage[] };

export type FetchRequest = { from: TopicPartitionOffset[]; timeoutMs: number; waitId: string };

export type OffsetQuery = "earliest" | "latest" | number;

export type GroupAssignment = {
  name: string;
  instances: { name: string; topics: { topic: string; partitions: number[] }[] }[];
};

/** Test faults of a broker; only a local stack can set them. */
export type LogFaults = {
  /** Refuse produces until then (milliseconds since the epoch). */
  refuseProduceUntil?: number;
  /** Lose this share of the records that were accepted, 0 to 1. */
  dropProbability?: number;
  /** Deliver each record this many times. */
  duplicate?: number;
};

export type Failure = { ok: false; code: ErrorCode; message: string };
export type Answer<T> = { ok: true; value: T } | Failure;

export function answer<T>(value: T): Answer<T> {
  return { ok: true, value };
}

export function failure(code: ErrorCode, message: string): Failure {
  return { ok: false, code, message };
}

/** The value of an answer; throws a failure as the `EdgeplaneError` that it stands for. */
export function unwrap<T>(result: Answer<T>): T {
  if (result.ok) return result.value;
  throw new EdgeplaneError(result.code, result.message);
}
