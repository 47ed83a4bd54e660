/** Models that settings name and nobody offers: they may come later, or be misspelt. */
import { EdgeplaneError } from "../contract/errors.ts";
import { mayBeModel } from "../registry/known-models.ts";
import type { Settings } from "./schema.ts";

/** So many are named, and the rest counted. */
const MAX_NAMED = 50;

type Named = { field: string; model: string };

function namedIn({ models, prices }: Settings): Named[] {
  const under = (path: string, of: object) => Object.keys(of).map((model) => ({ field: `${path}.${model}`, model }));
  return [...under("settings.prices.models", prices?.models ?? {}), ...under("settings.models", models)];
}

/** Throws `invalid_input` for prices of what no model can be called: they would never hold. */
export function refuseImpossible({ prices }: Settings): void {
  const invalidFields = Object.keys(prices?.models ?? {}).flatMap((model) => {
    const [owner = "", name = ""] = model.split("/");
    const description = "no model can be called that: owner and name have lower-case letters, digits, '.', '_' and '-'";
    return mayBeModel({ owner, name }) ? [] : [{ field: `settings.prices.models.${model}`, description }];
  });
  if (invalidFields.length === 0) return;
  const detail = invalidFields.map(({ field, description }) => `- ${field}: ${description}\n`).join("");
  throw new EdgeplaneError("invalid_input", detail, { invalidFields });
}

/** A sentence for each that is named and isn't there. */
export async function warningsOf(db: D1Database, settings: Settings): Promise<string[]> {
  const named = namedIn(settings);
  if (named.length === 0) return [];
  const { results } = await db
    .prepare(
      `SELECT asked.value AS model FROM json_each(?) asked JOIN models m
         ON m.owner = substr(asked.value, 1, instr(asked.value, '/') - 1)
         AND m.name = substr(asked.value, instr(asked.value, '/') + 1) AND m.deleted_at IS NULL`,
    )
    .bind(JSON.stringify([...new Set(named.map(({ model }) => model))]))
    .all();
  const known = new Set(results.map((row) => String(row["model"])));
  const unknown = named.filter(({ model }) => !known.has(model));
  const told = unknown.slice(0, MAX_NAMED).map(({ field, model }) => `${field}: nobody has offered ${model} yet`);
  const left = unknown.length - told.length;
  return left === 0 ? told : [...told, `and ${left} more models that nobody has offered yet`];
}
