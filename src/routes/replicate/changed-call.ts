/**
 * What a plugin makes of a prediction's call is checked as the client's own was: only an input that the model takes is
 * handed on, and only as the text that will be stored.
 */
import type { Phase, PredictionCall } from "../../../plugins/kernel/phases.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import type { InvalidField } from "../../contract/errors.ts";
import { MAX_NESTING, nestsWithin } from "../../contract/nesting.ts";
import type { Json } from "../../contract/prediction.ts";
import { parseWellFormed } from "../../contract/well-formed.ts";
import { VERSION } from "../../registry/known-models.ts";
import { MAX_JSON_BYTES } from "../body.ts";
import type { InputValidator } from "./input-schema.ts";
import { utf8Length } from "./submission.ts";

type Input = PredictionCall["input"];

/**
 * The call that is handed on: whose it is, its id and its model stay, and `inputBytes` is what its input has. A hook of
 * `route` may name another version of the model. Throws `changed_input_invalid` for an input that `validate` finds a
 * fault with, or that no client could have sent, and for what is no version.
 */
export function checkedChange(
  validate: InputValidator,
  changed: PredictionCall,
  { requestId, predictionId, principal, clientIp, model, input, inputBytes }: PredictionCall,
  phase: Phase,
): PredictionCall {
  const version = phase === "route" ? versionIn(changed, model) : model.version;
  const fixed = { requestId, predictionId, principal, clientIp, model: { ...model, version } };
  if (changed.input === input) return { ...changed, ...fixed, inputBytes };
  const stored = asStored(changed.input);
  const invalidFields = validate(stored.input);
  if (invalidFields.length > 0) throw unfit(invalidFields);
  return { ...changed, ...fixed, ...stored };
}

/** Of what a plugin says of the model, only the version counts. */
function versionIn({ model: given }: PredictionCall, { version: before }: PredictionCall["model"]): string {
  const { version } = given;
  if (version === before || VERSION.test(version)) return version;
  throw unfit([{ field: "version", description: "must be a version's 64 hexadecimal digits" }]);
}

function asStored(given: Input): { input: Input; inputBytes: number } {
  const text = textOf(given);
  const inputBytes = utf8Length(text);
  if (inputBytes > MAX_JSON_BYTES) throw unfitWhole(`has ${inputBytes} bytes; ${MAX_JSON_BYTES} are the most`);
  const input = parseWellFormed(text) as Json;
  if (typeof input !== "object" || input === null || Array.isArray(input)) throw unfitWhole("must be an object");
  if (!nestsWithin(input, MAX_NESTING)) throw unfitWhole(`is nested deeper than ${MAX_NESTING} levels`);
  return { input, inputBytes };
}

/** JSON has no text for some values that a plugin may return. */
function textOf(given: unknown): string {
  try {
    return JSON.stringify(given) ?? "null";
  } catch (cause) {
    throw unfitWhole("can't be written as JSON", cause);
  }
}

function unfitWhole(description: string, cause?: unknown): EdgeplaneError {
  return unfit([{ field: "input", description }], cause);
}

export function unfit(invalidFields: InvalidField[], cause?: unknown): EdgeplaneError {
  const detail = invalidFields.map(({ field, description }) => `- ${field}: ${description}\n`).join("");
  return new EdgeplaneError("changed_input_invalid", detail, {
    invalidFields,
    ...(cause === undefined ? {} : { cause }),
  });
}
