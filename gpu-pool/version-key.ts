/** One version of a model, by what this pool serves. */
import { modelPath } from "../src/contract/manifest.ts";
import type { ModelRef } from "../src/contract/prediction.ts";

/** `owner/name version`. */
export function versionKey(model: ModelRef): string {
  return `${modelPath(model)} ${model.version}`;
}
