/** Waits until every model of the pool's folder is offered, and sees whether clients get what the folder holds. */
import * as z from "zod";
import type { FoundModels } from "../../gpu-pool/supervisor.ts";
import { modelPath } from "../../src/contract/manifest.ts";
import type { Say } from "./log-lines.ts";
import { StackError } from "./stack-error.ts";
import type { Stack } from "./stack.ts";

const PROGRESS_MS = 10_000;
const LIMIT_MS = 60_000;

const ModelSchema = z.looseObject({ latest_version: z.looseObject({ id: z.string() }).nullable() });

export type Offered = {
  /** As `owner/name`. */
  models: string[];
  /** What of the folder clients don't get, and why, a line each. */
  warnings: string[];
};

/**
 * All that the pool has offered of its folder. The folder takes as long to read as it takes, which is told every 10 s;
 * `limitMs` is for the rest. Throws `StackError` when that is over, and when the folder has no model.
 */
export async function offeredModels(
  stack: Pick<Stack, "url" | "apiKey" | "models">,
  say: Say,
  limitMs = LIMIT_MS,
): Promise<Offered> {
  const { found, offered } = stack.models;
  const progress = setInterval(() => say("  The pool is reading the files of its models…"), PROGRESS_MS);
  await found.finally(() => clearInterval(progress));
  const late = Promise.withResolvers<never>();
  const impatience = setTimeout(() => {
    const why = "its lines above say why";
    late.reject(new StackError(`the pool did not offer its models within ${limitMs / 1000} s; ${why}.`));
  }, limitMs);
  const { models, problems } = await Promise.race([offered, late.promise]).finally(() => clearTimeout(impatience));
  if (models.length === 0) throw new StackError("the pool found no model that it can run; its lines above say why.");
  const served = await Promise.all(models.map((model) => warningOf(stack, model)));
  return {
    models: models.map(modelPath).toSorted(),
    warnings: [...problems.map(({ folder, problem }) => `${folder} is not served: ${problem}`), ...served.flat()],
  };
}

async function warningOf(
  { url, apiKey }: Pick<Stack, "url" | "apiKey">,
  model: FoundModels["models"][number],
): Promise<string[]> {
  const path = modelPath(model);
  const response = await fetch(`${url}/v1/models/${path}`, { headers: { authorization: `Bearer ${apiKey}` } });
  const body = await response.text();
  const mend = "change a file of it, a comment will do, and start again";
  if (response.status === 404) return [`${path} was deleted here, and is not served: to bring it back, ${mend}`];
  if (!response.ok) throw new StackError(`${path} could not be read: ${response.status} ${body.slice(0, 300)}`);
  const latest = ModelSchema.parse(JSON.parse(body)).latest_version;
  if (latest?.id === model.version) return [];
  return [
    `${path} runs a version that came later than what its folder holds: to make the folder's the latest, ${mend}`,
  ];
}
