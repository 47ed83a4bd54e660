/**
 * One prediction as its shard stores it.
 *
 * ```
 * waiting ──claim──▶ granted ──starting──▶ running ──▶ succeeded | failed
 *    ▲  └───claim, to start at once───────▶ │
 *    └── released, lease lost, crash ───────┘          any unfinished ──▶ canceled | aborted | failed (timed out)
 * ```
 *
 * The outbox row of a waiting prediction is this row itself: `handAt` says when it is handed to its lane again, and the
 * claim clears it. `wakeAt` is the earliest time at which anything is due; the one partial index is on it
 * (`unlisted.ts` says what is not in it yet).
 */
import type { HeldReservation } from "../../plugins/kernel/reservations.ts";
import type { CanaryTag } from "../contract/canary.ts";
import { costView } from "../contract/price.ts";
import type { Pricing } from "../contract/price.ts";
import { statuses } from "../contract/prediction.ts";
import type { VerdictRecord } from "../contract/verdict.ts";
import type {
  Json,
  ModelRef,
  PredictionError,
  PredictionSnapshot,
  Priority,
  QueuePlace,
  Status,
  WebhookEvent,
} from "../contract/prediction.ts";

import type { HeldStates, Question } from "./types.ts";
import type { EarlierAttempt, UsageEntry } from "./usage.ts";

export const states = ["waiting", "granted", "running", "succeeded", "failed", "canceled", "aborted"] as const;
export type State = (typeof states)[number];

/** What never changes after acceptance. */
export type Fixed = {
  model: ModelRef;
  lane: string;
  priority: Priority;
  cost: number;
  /** Its account's share of the lane, 1 unless an operator says otherwise. */
  weight: number;
  origin: string;
  webhook: string | null;
  webhookEvents: WebhookEvent[];
  stream: boolean;
  /** Whether its model yields its output in pieces, as far as is known; absent in rows from before it was noted. */
  iterates?: boolean;
  source: "api" | "web";
  traceparent: string | null;
  replayOf: string | null;
  deployment: string | null;
  /** How long one run may take by its deployment; absent: as its model says. */
  runLimitMs?: number | undefined;
  /** What it is billed by; absent: it costs nothing. */
  pricing?: Pricing;
  resumesDeterministically: boolean;
  /** How long its data stays after its end; null: as long as the rules say. */
  retentionMs: number | null;
  /** Under which its output is remembered for others like it, if it may be. */
  responseKey?: string | undefined;
  /** Whether the id came from the client's key, so that the row outlives its data as the memory of that key. */
  keyed: boolean;
  /** Set where a plugin asked for it, and no client. */
  question?: Question;
  /** The split that chose its version, if one did. */
  canary?: CanaryTag;
  /**
   * The API key, or another credential, that asked for it; absent where none did, and in rows from before it was kept.
   */
  credentialId?: string;
  /** Plugins that came with its version screen what it says: nothing is taken that they have not. */
  isGuarded?: true;
};

export type Row = {
  id: string;
  accountId: string;
  fixed: Fixed;
  payloadHash: string;
  input: Json;
  inputBlob: string | null;
  state: State;
  createdAt: number;
  startedAt: number | null;
  completedAt: number | null;
  startBy: number;
  endBy: number;
  /** What the total deadline makes of a prediction that ran: `canceled` when the client asked for that. */
  endAs: "failed" | "canceled";
  attempt: number;
  losses: number;
  /** A process died while it ran this one by itself. */
  hasCrashed?: true | undefined;
  /** How often pools handed it back because they can't run it. */
  handBacks: number;
  token: string | null;
  session: string | null;
  /** The seq of the first event that is not stored. */
  nextSeq: number;
  /** Output chunks that are stored, and how many of a claim that runs again repeat them. */
  chunks: number;
  skip: number;
  /** The seq of the last frame that readers of the stream can see. */
  lastFrame: number;
  /** True once output left through a stream or a webhook. */
  shown: boolean;
  output: Json;
  outputBlob: string | null;
  error: PredictionError | null;
  logs: string;
  metrics: Record<string, Json>;
  /** When a waiting one is handed to its lane again; when what an ended one reserved is given back again. */
  handAt: number | null;
  hands: number;
  /**
   * When to ask the pool session for its lease again; of a prediction that ended before its run: when to tell the pool
   * once more to stop.
   */
  checkAt: number | null;
  /** Something of it may lie in object storage: more than the row names, such as what a lost attempt left there. */
  blobs: boolean;
  /** An earlier claim may have left blobs, which nothing will name: they go when the prediction ends. */
  strays: boolean;
  /** Its retention has ended, and all that is left is the memory of its client's key. */
  retired: boolean;
  fed: boolean;
  /** The number of its end among those that are published; null until it has one. */
  endSeq: number | null;
  wakeAt: number | null;
  /** What plugins set aside for it, until their services have it back; null: nothing. */
  reservations: HeldReservation[] | null;
  /** What plugins decided over it, if they did. */
  verdicts?: VerdictRecord[] | undefined;
  /** What plugins hold of its streams, as of `nextSeq`. */
  held?: HeldStates | undefined;
  /** Since when the attempt runs of which no usage is known yet, in milliseconds since the epoch. */
  attemptAt?: number | undefined;
  /** That attempt has said something. */
  hasSpoken?: true | undefined;
  /** What it costs, in nano-units, once that is known; where it has no price, nothing is noted. */
  costNano?: number | undefined;
  /** What attempts took, until it was handed on, and which of them were told of. */
  usage?: UsageEntry[] | undefined;
  earlier?: EarlierAttempt[] | undefined;
  /** Its end was counted for its canary. */
  isTallied?: boolean | undefined;
};

/** A row without what may be large. */
export type Outline = Omit<Row, "input" | "output" | "logs" | "reservations">;

/** A question of a plugin is no account's to read, not even of the one that pays. */
export function isReadableBy(
  { accountId: owner, fixed }: Pick<Row, "accountId" | "fixed">,
  accountId: string,
): boolean {
  return owner === accountId && fixed.question === undefined;
}

/** In whose turn it waits. */
export function flowAccountOf({ accountId, question }: { accountId: string; question?: Question | undefined }): string {
  return question?.guarded ?? accountId;
}

export function isFinished(state: State): boolean {
  return state === "succeeded" || state === "failed" || state === "canceled" || state === "aborted";
}

/**
 * Whether it runs by itself from now on. The first loss says little: most often a machine was taken away, and all that
 * ran there runs again side by side. What was lost a second time, or crashed alone, may be what its pools die of.
 */
export function isSuspect({ losses, hasCrashed }: Pick<Row, "losses" | "hasCrashed">): boolean {
  return losses > 1 || hasCrashed === true;
}

/** Whether a pool session holds it. */
export function isGranted({ state }: Pick<Row, "state">): boolean {
  return state === "granted" || state === "running";
}

/** The public status of a state. */
export function statusOf(state: State): Status {
  if (state === "waiting" || state === "granted") return "starting";
  if (state === "running") return "processing";
  return statuses[statuses.indexOf(state)] ?? "failed";
}

/** What the shard shows of a row. `output` and `logs` of a running prediction are what came so far. */
export function snapshotOf(row: Row, queue: QueuePlace | null): PredictionSnapshot {
  const { fixed } = row;
  return {
    id: row.id,
    accountId: row.accountId,
    model: fixed.model,
    lane: fixed.lane,
    priority: fixed.priority,
    status: statusOf(row.state),
    input: row.input,
    inputBlob: row.inputBlob,
    output: row.output,
    outputBlob: row.outputBlob,
    error: row.error,
    logs: row.logs,
    metrics: row.metrics,
    createdAt: row.createdAt,
    startedAt: row.startedAt,
    completedAt: row.completedAt,
    startBy: row.startBy,
    endBy: row.endBy,
    attempt: row.attempt,
    origin: fixed.origin,
    stream: fixed.stream,
    webhook: fixed.webhook,
    source: fixed.source,
    replayOf: fixed.replayOf,
    deployment: fixed.deployment,
    queue,
    ...(fixed.pricing === undefined ? {} : { cost: costView(fixed.pricing, row.costNano) }),
    ...(row.verdicts === undefined ? {} : { verdicts: row.verdicts }),
  };
}
