/** What a request for a prediction is refused for before any plugin sees it, once its version is known. */
import type { Principal } from "../../../plugins/kernel/phases.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import { priorities } from "../../contract/prediction.ts";
import type { Json, Priority } from "../../contract/prediction.ts";
import type { Version } from "../../registry/models.ts";
import { validatorOf } from "./find-target.ts";

/** Throws `model_forbidden`, `invalid_input` or `priority_forbidden`. */
export function checkRequest(principal: Principal, version: Version, input: Json, priority: Priority): void {
  checkModel(principal, version);
  checkInput(version, input);
  checkPriority(principal, priority);
}

function checkInput(version: Version, input: Json): void {
  const invalidFields = validatorOf(version)(input);
  if (invalidFields.length === 0) return;
  const detail = invalidFields.map(({ field, description }) => `- ${field}: ${description}\n`).join("");
  throw new EdgeplaneError("invalid_input", detail, { invalidFields });
}

/** Throws `model_forbidden` when the key names the models that it may use, and this is none of them. */
function checkModel({ models }: Principal, { manifest: { owner, name } }: Version): void {
  if (models === undefined || models.includes(`${owner}/${name}`) || models.includes(`${owner}/*`)) return;
  throw new EdgeplaneError("model_forbidden", `The key may not use the model ${owner}/${name}.`);
}

/** Throws `priority_forbidden` when the key may not ask for so high a priority. */
function checkPriority({ maxPriority }: Principal, wanted: Priority): void {
  if (priorities.indexOf(wanted) >= priorities.indexOf(maxPriority)) return;
  const detail = `The prediction asks for the priority "${wanted}"; the key's scope \`priority\` ends at "${maxPriority}".`;
  throw new EdgeplaneError("priority_forbidden", detail);
}
