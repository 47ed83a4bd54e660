/**
 * A held answer that notices when its client leaves. The runtime tells nothing of a client that goes while no answer
 * has begun: so the answer begins at once, with white space that JSON ignores, and goes on with it until the prediction
 * is there. A space that can't be written any more means that the client has gone.
 */
import { isTerminal } from "../../contract/prediction.ts";
import type { PredictionSnapshot } from "../../contract/prediction.ts";
import { log, reasonOf } from "../../telemetry/log.ts";
import type { AppContext, ShardPort } from "../app.ts";
import { jsonOf } from "./view.ts";
import type { WholeView } from "./view.ts";

const BEAT_MS = 500;
/** A reader that takes nothing of the answer for so long is given up. */
const UNREAD_MS = 120_000;

/**
 * Answers `accepted` once it is finished, or as it is after `waitMs`; `show` makes the body. A client that leaves
 * before then cancels the prediction. The status is 201: it has left before the end is known.
 */
export function holdUntilFinished(
  c: AppContext,
  shard: ShardPort,
  accepted: PredictionSnapshot,
  waitMs: number,
  show: (prediction: PredictionSnapshot) => Promise<WholeView>,
): Response {
  const { id, accountId } = accepted;
  let breakOff: (reason: Error) => void = () => {};
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>({
    start(controller) {
      breakOff = (reason) => controller.error(reason);
    },
  });
  const writer = writable.getWriter();
  const encoder = new TextEncoder();
  let isLeft = false;

  const leave = async (): Promise<void> => {
    if (isLeft) return;
    isLeft = true;
    log.info("client_left", { requestId: c.get("requestId"), predictionId: id });
    await shard.cancelPrediction(c.env, id, accountId).catch((thrown: unknown) => {
      log.warn("held_cancel_failed", { requestId: c.get("requestId"), predictionId: id, reason: reasonOf(thrown) });
    });
  };
  const beat = setInterval(() => {
    writer.write(encoder.encode(" ")).catch(leave);
  }, BEAT_MS);

  const write = async (piece: Uint8Array): Promise<void> => {
    // To abort the writer would wait for the piece that nobody reads.
    const timer = setTimeout(() => breakOff(new Error("nobody reads this answer")), UNREAD_MS);
    try {
      await writer.write(piece);
    } finally {
      clearTimeout(timer);
    }
  };
  const answer = async (): Promise<void> => {
    try {
      const prediction = isTerminal(accepted.status)
        ? accepted
        : await shard.waitForPrediction(c.env, id, accountId, waitMs);
      clearInterval(beat);
      for await (const piece of jsonOf(c.env, await show(prediction ?? accepted))) {
        await write(typeof piece === "string" ? encoder.encode(piece) : piece);
      }
      await writer.close();
    } catch (thrown) {
      if (!isLeft)
        log.warn("held_answer_failed", { requestId: c.get("requestId"), predictionId: id, reason: reasonOf(thrown) });
      await writer.abort(thrown).catch(() => {});
    } finally {
      clearInterval(beat);
    }
  };
  c.executionCtx.waitUntil(answer());
  return c.body(readable, 201, { "content-type": "application/json", "cache-control": "no-store" });
}
