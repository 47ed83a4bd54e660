/** What a prediction costs its model: the model's cost over its inputs, with the signature's defaults. */
import { statSync } from "node:fs";
import { dirname } from "node:path";
import type { Json } from "../../src/contract/prediction.ts";
import { isObject } from "./file-fields.ts";
import type { Model } from "./models/model.ts";
import type { Prediction } from "./prediction.ts";

/** Of base64, which is most of a data URI, four characters are three bytes. */
const BYTES_OF_BASE64 = 0.75;

export function costOf({ input, inputDir }: Prediction, { cost, manifest }: Pick<Model, "cost" | "manifest">): number {
  if (cost === null) return 1;
  const given = isObject(input) ? input : {};
  return cost.of({
    value: (name) => (Object.hasOwn(given, name) ? given[name] : defaultOf(manifest.schema, name)),
    bytes: (value) => bytesOf(value, inputDir),
  });
}

function defaultOf(schema: Model["manifest"]["schema"], name: string): Json | undefined {
  const path = ["components", "schemas", "Input", "properties", name, "default"];
  return path.reduce<Json | undefined>((value, key) => (isObject(value) ? value[key] : undefined), schema ?? undefined);
}

/** A file that was fetched for it, a data URI, or a text. */
function bytesOf(value: Json, inputDir: string | null): number {
  if (typeof value !== "string") return 0;
  if (inputDir !== null && dirname(value) === inputDir) return statSync(value, { throwIfNoEntry: false })?.size ?? 0;
  return /^data:/i.test(value) ? Math.floor(value.length * BYTES_OF_BASE64) : Buffer.byteLength(value);
}
