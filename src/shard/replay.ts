/**
 * Replays dead letters: each becomes one new prediction, with the same input, model and deadlines, however often it is
 * asked for.
 */
import { EdgeplaneError } from "../contract/errors.ts";
import type { ErrorCode } from "../contract/errors.ts";
import { derivedPredictionId, isPredictionId, shardName, shardOf } from "../contract/ids.ts";
import { deadLetterReason } from "../contract/published.ts";
import { keyFor } from "../contract/signing.ts";
import type { Env } from "../env.ts";
import { callObject } from "../object-calls.ts";
import { copyInput, inputBlobKey } from "../storage/blobs.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import { isAccepted, shardCount, submit } from "./client.ts";
import { remoteShard } from "./remote.ts";
import { isPurged } from "./retention.ts";
import { isFinished } from "./row.ts";
import type { Row } from "./row.ts";
import type { Submission } from "./types.ts";
import { within } from "./within.ts";

/** A replay of several dead letters waits so long for the shard of each. */
const READ_LIMIT_MS = 10_000;

/** Why there is nothing to replay: no such prediction, it is unfinished or ended otherwise, or its data is gone. */
export type NotReplayable = "unknown" | "not_dead" | "data_removed";

/** A dead letter's submission, but for its new id and the place of its input. */
export type Replayable = { input: Omit<Submission, "id">; reason: null } | { input: null; reason: NotReplayable };

export type Replay =
  | { id: string; outcome: "created" | "existing"; replayedAs: string }
  | { id: string; outcome: NotReplayable }
  /** It stays as it is, to be replayed later. */
  | { id: string; outcome: "refused"; code: ErrorCode; detail: string };

type Replayed = Omit<Submission, "id">;
/**
 * What the prediction `id` is billed by, and reserves, as one that is accepted now; `undo` gives that back. Throws
 * `EdgeplaneError` where it is refused.
 */
export type ChargeReplay = (
  id: string,
  submission: Replayed,
) => Promise<{ submission: Pick<Replayed, "pricing" | "reservations" | "verdicts">; undo: () => void }>;

/** What a stored row gives to replay. */
export function replayableOf(row: Row | null): Replayable {
  if (row === null || row.fixed.question !== undefined) return { input: null, reason: "unknown" };
  if (!isFinished(row.state) || deadLetterReason(row.error?.code ?? null) === null) {
    return { input: null, reason: "not_dead" };
  }
  if (isPurged(row)) return { input: null, reason: "data_removed" };
  const { fixed, createdAt, endBy, startBy, endAs } = row;
  const canceledFirst = endAs === "canceled";
  const endAfterMs = endBy - createdAt;
  return {
    reason: null,
    input: {
      ...{ accountId: row.accountId, model: fixed.model, lane: fixed.lane, priority: fixed.priority },
      ...{ cost: fixed.cost, weight: fixed.weight },
      ...{ input: row.input, inputBlob: row.inputBlob, payloadHash: row.payloadHash },
      startTimeoutMs: startBy - createdAt,
      totalTimeoutMs: canceledFirst ? endAfterMs + 1 : endAfterMs,
      cancelAfterMs: canceledFirst ? endAfterMs : null,
      ...{
        webhook: fixed.webhook,
        webhookEvents: fixed.webhookEvents,
        stream: fixed.stream,
        iterates: fixed.iterates ?? false,
        deployment: fixed.deployment,
        ...(fixed.runLimitMs === undefined ? {} : { runLimitMs: fixed.runLimitMs }),
        ...(fixed.credentialId === undefined ? {} : { credentialId: fixed.credentialId }),
        ...(fixed.isGuarded === undefined ? {} : { isGuarded: fixed.isGuarded }),
        retentionMs: fixed.retentionMs,
      },
      ...{ resumesDeterministically: fixed.resumesDeterministically, origin: fixed.origin, source: fixed.source },
      ...{ traceparent: fixed.traceparent, replayOf: row.id, keyed: true },
    },
  };
}

/**
 * Makes the new prediction of one dead letter, or finds the one that was made before. One that can't be reached now is
 * refused: those beside it are replayed all the same.
 */
export async function replayDeadLetter(env: Env, id: string, charge: ChargeReplay): Promise<Replay> {
  try {
    return await replay(env, id, charge);
  } catch (error) {
    log.warn("dead_letter_not_replayed", { predictionId: id, reason: reasonOf(error) });
    return { id, outcome: "refused", code: "unavailable", detail: "It can't be replayed now: the gateway is busy." };
  }
}

async function replay(env: Env, id: string, charge: ChargeReplay): Promise<Replay> {
  if (!isPredictionId(id, shardCount(env))) return { id, outcome: "unknown" };
  const asked = callObject(() => remoteShard(env, shardName(shardOf(id))).replayable(id));
  const { input, reason } = await within(asked, READ_LIMIT_MS);
  if (input === null) return { id, outcome: reason };
  const key = await keyFor(env.EDGEPLANE_SECRET, "ids");
  const replayedAs = await derivedPredictionId(key, input.accountId, `replay ${id}`, shardCount(env));
  try {
    // First: what is refused copies nothing.
    const charged = await charge(replayedAs, input);
    const inputBlob = await ownInput(env.BLOBS, input.inputBlob, replayedAs).catch((error: unknown) => {
      charged.undo();
      throw error;
    });
    if (inputBlob === undefined) {
      charged.undo();
      return { id, outcome: "data_removed" };
    }
    return await accepted(env, { ...input, ...charged.submission, id: replayedAs, inputBlob }, id, charged.undo);
  } catch (error) {
    if (!(error instanceof EdgeplaneError)) throw error;
    // What it would cost now matters nothing to one that was replayed before.
    if (await isAccepted(env, replayedAs, input.accountId, input.payloadHash)) {
      return { id, outcome: "existing", replayedAs };
    }
    return { id, outcome: "refused", code: error.code, detail: error.message };
  }
}

/** The replay's own copy of its input's blob: the dead letter's goes with its retention. Undefined: it is gone. */
async function ownInput(bucket: R2Bucket, from: string | null, replayedAs: string): Promise<string | null | undefined> {
  if (from === null) return null;
  const own = inputBlobKey(replayedAs);
  return (await copyInput(bucket, from, own)) ? own : undefined;
}

async function accepted(env: Env, submission: Submission, id: string, undo: () => void): Promise<Replay> {
  const answer = await submit(env, submission, 0).catch((error: unknown) => {
    if (error instanceof EdgeplaneError) undo();
    throw error;
  });
  if (answer.outcome === "created") return { id, outcome: "created", replayedAs: submission.id };
  undo();
  if (answer.outcome !== "full") return { id, outcome: "existing", replayedAs: submission.id };
  const detail = `The account has ${answer.limit} predictions waiting in this lane, as many as it may.`;
  return { id, outcome: "refused", code: "queue_full", detail };
}
