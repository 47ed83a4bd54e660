/** A prediction as an answer: presented as everywhere, with what is stored as blobs put in its place. */
import { presentPrediction } from "../../contract/present.ts";
import type { PredictionView } from "../../contract/present.ts";
import type { PredictionSnapshot } from "../../contract/prediction.ts";
import type { Env } from "../../env.ts";
import { withBlobs } from "../../storage/blobs.ts";

/** Shows a prediction with its input and output. */
export async function showWhole(env: Env, prediction: PredictionSnapshot): Promise<PredictionView> {
  return presentPrediction(await withBlobs(env.BLOBS, prediction), env.EDGEPLANE_SECRET);
}
