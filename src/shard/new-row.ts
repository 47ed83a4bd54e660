/** The row that a submission becomes. */
import { dueAt } from "./machine.ts";
import type { Row } from "./row.ts";
import type { Rules } from "./rules.ts";
import type { Submission } from "./types.ts";
import type { Pricing } from "../contract/price.ts";

export function newRow(submission: Submission, now: number, rules: Rules): Row {
  const { cancelAfterMs, totalTimeoutMs } = submission;
  const canceledFirst = cancelAfterMs !== null && cancelAfterMs < totalTimeoutMs;
  const row: Row = {
    id: submission.id,
    accountId: submission.accountId,
    fixed: {
      model: submission.model,
      lane: submission.lane,
      priority: submission.priority,
      cost: submission.cost,
      weight: submission.weight,
      origin: submission.origin,
      webhook: submission.webhook,
      webhookEvents: submission.webhookEvents,
      stream: submission.stream,
      iterates: submission.iterates,
      source: submission.source,
      traceparent: submission.traceparent,
      replayOf: submission.replayOf,
      deployment: submission.deployment,
      ...(submission.runLimitMs === undefined ? {} : { runLimitMs: submission.runLimitMs }),
      ...(submission.pricing === undefined ? {} : { pricing: lasting(submission.pricing) }),
      resumesDeterministically: submission.resumesDeterministically,
      retentionMs: submission.retentionMs,
      keyed: submission.keyed,
      ...(submission.question === undefined ? {} : { question: submission.question }),
      ...(submission.canary === undefined ? {} : { canary: submission.canary }),
      ...(submission.credentialId === undefined ? {} : { credentialId: submission.credentialId }),
      ...(submission.isGuarded === undefined ? {} : { isGuarded: submission.isGuarded }),
      ...(submission.responseKey === undefined ? {} : { responseKey: submission.responseKey }),
    },
    payloadHash: submission.payloadHash,
    input: submission.input,
    inputBlob: submission.inputBlob,
    state: "waiting",
    createdAt: now,
    startedAt: null,
    completedAt: null,
    startBy: now + submission.startTimeoutMs,
    endBy: now + (canceledFirst ? cancelAfterMs : totalTimeoutMs),
    endAs: canceledFirst ? "canceled" : "failed",
    attempt: 0,
    losses: 0,
    handBacks: 0,
    token: null,
    session: null,
    nextSeq: 0,
    chunks: 0,
    skip: 0,
    lastFrame: 0,
    shown: false,
    output: null,
    outputBlob: null,
    error: null,
    logs: "",
    metrics: {},
    handAt: now + rules.sweepMs,
    hands: 0,
    checkAt: null,
    blobs: submission.inputBlob !== null,
    strays: false,
    retired: false,
    // No list shows a question.
    fed: submission.question !== undefined,
    endSeq: null,
    wakeAt: null,
    reservations: submission.reservations ?? null,
    ...(submission.verdicts === undefined ? {} : { verdicts: submission.verdicts }),
  };
  row.wakeAt = dueAt(row, rules);
  return row;
}

/** What of it is stored. */
function lasting({ devices: _atAcceptance, ...pricing }: Pricing): Pricing {
  return pricing;
}
