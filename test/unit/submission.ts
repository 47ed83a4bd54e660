/** An ordinary submission to change at will. */
import type { Submission } from "../../src/shard/types.ts";

export function submission(id: string): Submission {
  return {
    id,
    accountId: "account",
    model: { owner: "local", name: "echo", version: "0".repeat(64) },
    lane: "default",
    priority: "normal",
    cost: 1,
    weight: 1,
    input: { text: "hello" },
    inputBlob: null,
    payloadHash: "hash",
    startTimeoutMs: 7 * 86_400_000,
    totalTimeoutMs: 7 * 86_400_000,
    cancelAfterMs: null,
    retentionMs: null,
    webhook: null,
    webhookEvents: [],
    stream: false,
    iterates: false,
    resumesDeterministically: false,
    origin: "http://127.0.0.1:8787",
    source: "api",
    traceparent: null,
    replayOf: null,
    deployment: null,
    keyed: true,
  };
}
