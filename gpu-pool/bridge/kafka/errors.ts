/** What the cluster or the client library says, turned into errors of the table that name the cause. */
import { findErrorBy } from "@platformatic/kafka";
import { EdgeplaneError } from "../../../src/contract/errors.ts";
import type { ErrorCode } from "../../../src/contract/errors.ts";

const known: readonly (readonly [apiId: string, code: ErrorCode, message: string])[] = [
  ["UNKNOWN_TOPIC_OR_PARTITION", "topic_not_found", "The cluster has no such topic or partition"],
  ["UNKNOWN_TOPIC_ID", "topic_not_found", "The topic was deleted"],
  ["INVALID_TOPIC_EXCEPTION", "invalid_request", "The cluster does not allow this topic name"],
  [
    "TOPIC_AUTHORIZATION_FAILED",
    "topic_forbidden",
    "The cluster refuses the bridge's own user this topic: grant it the rights (ACL)",
  ],
  [
    "GROUP_AUTHORIZATION_FAILED",
    "forbidden",
    "The cluster refuses the bridge's own user this consumer group: grant it READ on the group (ACL)",
  ],
  [
    "CLUSTER_AUTHORIZATION_FAILED",
    "forbidden",
    "The cluster refuses the bridge's own user this operation: grant it the rights (ACL)",
  ],
  ["MESSAGE_TOO_LARGE", "payload_too_large", "A record is larger than the topic's max.message.bytes"],
  ["RECORD_LIST_TOO_LARGE", "payload_too_large", "The records are larger than the broker takes at once"],
  ["INVALID_RECORD", "invalid_request", "The topic's rules refuse the record (a compacted topic needs keys)"],
  ["INVALID_TIMESTAMP", "invalid_request", "The timestamp is outside of what the topic allows"],
  ["OFFSET_OUT_OF_RANGE", "offset_out_of_range", "The offset is outside of what the partition holds"],
  ["OFFSET_METADATA_TOO_LARGE", "invalid_request", "The commit's metadata is too large"],
  ["INVALID_GROUP_ID", "invalid_request", "The cluster does not allow this group name"],
  [
    "INVALID_SESSION_TIMEOUT",
    "unavailable",
    "The cluster does not allow the bridge's sessionTimeoutMs: set it within group.min.session.timeout.ms and group.max.session.timeout.ms",
  ],
  [
    "INCONSISTENT_GROUP_PROTOCOL",
    "invalid_request",
    "The group is in use by consumers of another protocol: choose another group name",
  ],
  ["GROUP_MAX_SIZE_REACHED", "rate_limited", "The group has as many members as the cluster allows"],
  [
    "UNSUPPORTED_VERSION",
    "unavailable",
    "The cluster does not take the consumer group protocol (KIP-848): set groupProtocol to classic",
  ],
  ["FENCED_MEMBER_EPOCH", "unavailable", "Another pool has the same id: give each its own --state-dir"],
  ["UNKNOWN_MEMBER_ID", "unavailable", "The cluster let the instance go; it is joining again"],
  ["ILLEGAL_GENERATION", "unavailable", "The group is being rebalanced"],
  ["REBALANCE_IN_PROGRESS", "unavailable", "The group is being rebalanced"],
  [
    "FENCED_INSTANCE_ID",
    "unavailable",
    "Another bridge serves an instance of this name: give each its own instance names",
  ],
  ["NOT_ENOUGH_REPLICAS", "unavailable", "Fewer replicas are in sync than min.insync.replicas demands"],
  ["NOT_ENOUGH_REPLICAS_AFTER_APPEND", "unavailable", "Fewer replicas are in sync than min.insync.replicas demands"],
  ["KAFKA_STORAGE_ERROR", "unavailable", "The broker's disk failed or is full"],
  [
    "UNSUPPORTED_SASL_MECHANISM",
    "unavailable",
    "The cluster does not offer the SASL mechanism that kafka.sasl.mechanism names",
  ],
  ["SASL_AUTHENTICATION_FAILED", "unavailable", "The cluster refused the bridge's user or password (kafka.sasl)"],
  ["POLICY_VIOLATION", "invalid_request", "The cluster's policy refuses this topic"],
  ["INVALID_REPLICATION_FACTOR", "unavailable", "The cluster has fewer brokers than kafka.topics.replicas asks for"],
  ["REQUEST_TIMED_OUT", "unavailable", "The cluster did not answer in time"],
];

/** The error to show for `error`; `subject` says what it was about, e.g. `topic "jobs.x"`. */
export function translateError(error: unknown, subject?: string): EdgeplaneError {
  if (error instanceof EdgeplaneError) return error;
  const about = subject === undefined ? "" : ` (${subject})`;
  const cause = error instanceof Error ? error : new Error(String(error));
  for (const [apiId, code, message] of known) {
    if (findErrorBy(cause, "apiId", apiId) !== null) return new EdgeplaneError(code, `${message}${about}.`, { cause });
  }
  const text = deepMessages(cause).join("; ");
  const topic = /Unknown topic (\S+?)\.?$/.exec(cause.message)?.[1];
  if (topic !== undefined)
    return new EdgeplaneError("topic_not_found", `The cluster has no topic "${topic}".`, { cause });
  if (findErrorBy(cause, "code", "PLT_KFK_AUTHENTICATION") !== null || /SASL|authentication/i.test(text)) {
    return new EdgeplaneError(
      "unavailable",
      `The cluster refused the bridge's user or password (kafka.sasl): ${text}`,
      { cause },
    );
  }
  if (/certificate|TLS|SSL|self.signed|EPROTO/i.test(text)) {
    return new EdgeplaneError("unavailable", `No TLS connection to the cluster (kafka.tls): ${text}`, { cause });
  }
  const api = findErrorBy(cause, "code", "PLT_KFK_PROTOCOL");
  if (api !== null)
    return new EdgeplaneError("unavailable", `The cluster answered ${String(api["apiId"])}${about}.`, { cause });
  return new EdgeplaneError("unavailable", `The cluster can't be reached${about}: ${text}`, { cause });
}

function deepMessages(error: unknown, depth = 0): string[] {
  if (!(error instanceof Error) || depth > 6) return [];
  const below = error instanceof AggregateError ? error.errors.flatMap((inner) => deepMessages(inner, depth + 1)) : [];
  const causes = error.cause === undefined ? [] : deepMessages(error.cause, depth + 1);
  const own = below.length + causes.length === 0 && error.message !== "" ? [error.message] : [];
  return [...new Set([...own, ...below, ...causes])].slice(0, 3);
}
