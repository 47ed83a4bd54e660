/**
 * `aborted` for clients that don't know it. npm `replicate` polls on for ever at a status that isn't one of its three
 * endings, and PyPI's refuses a prediction, or a whole list, that has one: to them a prediction that was aborted has
 * failed, with the same `error` and `error_code`.
 */
import type { PredictionSnapshot } from "../../contract/prediction.ts";
import type { AppContext } from "../app.ts";

const CLIENTS = /^replicate-(?:javascript|python)\//;

/** The prediction as the client that asks can take it. */
export function inKnownStatus(c: AppContext, prediction: PredictionSnapshot): PredictionSnapshot {
  if (prediction.status !== "aborted" || !CLIENTS.test(c.req.header("user-agent") ?? "")) return prediction;
  return { ...prediction, status: "failed" };
}
