/** A prediction as an answer: presented as everywhere, with what is stored as blobs put in its place. */
import { presentPrediction } from "../../contract/present.ts";
import type { PredictionView } from "../../contract/present.ts";
import type { PredictionSnapshot } from "../../contract/prediction.ts";
import type { Env } from "../../env.ts";
import { readJsonBlob } from "../../storage/blobs.ts";

/** Shows a prediction with its input and output. */
export async function showWhole(env: Env, prediction: PredictionSnapshot): Promise<PredictionView> {
  return presentPrediction(await inflate(env, prediction), env.EDGEPLANE_SECRET);
}

/** Puts the input and the output in place of their blobs. */
async function inflate(env: Pick<Env, "BLOBS">, prediction: PredictionSnapshot): Promise<PredictionSnapshot> {
  const { inputBlob, outputBlob } = prediction;
  if (inputBlob === null && outputBlob === null) return prediction;
  const [input, output] = await Promise.all([
    inputBlob === null ? prediction.input : readJsonBlob(env.BLOBS, inputBlob),
    outputBlob === null ? prediction.output : readJsonBlob(env.BLOBS, outputBlob),
  ]);
  return { ...prediction, input, output };
}
