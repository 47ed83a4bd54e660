/** Hands a submission to its shard: a large input goes to its blob first, so that what is accepted is whole. */
import { EdgeplaneError } from "../../contract/errors.ts";
import type { PredictionSnapshot } from "../../contract/prediction.ts";
import type { Submission } from "../../shard/types.ts";
import { putInputOnce } from "../../storage/blobs.ts";
import type { AppContext, ShardPort } from "../app.ts";

export type Accepted = { prediction: PredictionSnapshot; created: boolean };

/**
 * Submits, and waits for the end for at most `waitMs`. Throws `idempotency_key_reused` when the client's key stands for
 * another payload already, and `queue_full` when the account has as many waiting predictions as it may.
 */
export async function acceptSubmission(
  c: AppContext,
  shard: ShardPort,
  submission: Submission,
  waitMs: number,
): Promise<Accepted> {
  const { inputBlob, payloadHash, keyed } = submission;
  if (inputBlob !== null) {
    const stored = await putInputOnce(c.env.BLOBS, inputBlob, JSON.stringify(submission.input), payloadHash);
    if (!stored) throw keyReused();
  }
  const sent: Submission = inputBlob === null ? submission : { ...submission, input: null };
  const answer = await shard.submit(c.env, sent, waitMs);
  // The row has another payload (a blob under its id would have refused this one), or its data is gone: nothing names
  // the blob. One whose queue was full may be accepted in another request of the same key, by the blob that it found.
  const isNamed = "prediction" in answer ? answer.prediction.inputBlob !== null : answer.outcome === "full" && keyed;
  if (inputBlob !== null && !isNamed) await c.env.BLOBS.delete(inputBlob);
  if (answer.outcome === "conflict") throw keyReused();
  if (answer.outcome === "full") throw queueFull(answer.limit);
  return { prediction: answer.prediction, created: answer.outcome === "created" };
}

function queueFull(limit: number): EdgeplaneError {
  return new EdgeplaneError(
    "queue_full",
    `Your account has ${limit} predictions waiting in this lane, as many as it may.`,
    {
      headers: { "Retry-After": "5" },
    },
  );
}

function keyReused(): EdgeplaneError {
  return new EdgeplaneError("idempotency_key_reused", "The key was used for a prediction with another payload.");
}
