/**
 * The secrets of models, sealed under a key of `EDGEPLANE_SECRET`: its owner sets and deletes them, a pool that runs
 * the model reads those that it names, and nobody else reads any.
 */
import * as z from "zod";
import { EdgeplaneError } from "../contract/errors.ts";
import { MAX_MODEL_SECRETS } from "../contract/model-secrets.ts";
import { seal, unseal } from "../contract/sealing.ts";
import type { Env } from "../env.ts";

type ModelName = { owner: string; name: string };
type Stores = Pick<Env, "DB" | "EDGEPLANE_SECRET">;

const ListedRowSchema = z
  .object({ secret: z.string(), created_at: z.number(), updated_at: z.number() })
  .transform((row) => ({ name: row.secret, createdAt: row.created_at, updatedAt: row.updated_at }));
export type ListedSecret = z.output<typeof ListedRowSchema>;

const SealedRowSchema = z.object({ secret: z.string(), sealed: z.string() });

/**
 * Sets a secret, in place of one of that name. What is sealed is bound to the model and the name: moved in the database
 * it opens nothing. Throws `quota_exceeded` when the model has 32 others.
 */
export async function setModelSecret(env: Stores, model: ModelName, secret: string, value: string): Promise<void> {
  const sealed = await seal(env.EDGEPLANE_SECRET, JSON.stringify([placeOf(model, secret), value]));
  const now = Date.now();
  const { meta } = await env.DB.prepare(
    `INSERT INTO model_secrets (owner, name, secret, sealed, created_at, updated_at) SELECT ?1, ?2, ?3, ?4, ?5, ?5
       WHERE (SELECT count(*) FROM model_secrets WHERE owner = ?1 AND name = ?2 AND secret <> ?3) < ?6
       ON CONFLICT DO UPDATE SET sealed = ?4, updated_at = ?5`,
  )
    .bind(model.owner, model.name, secret, sealed, now, MAX_MODEL_SECRETS)
    .run();
  if (meta.changes === 0)
    throw new EdgeplaneError("quota_exceeded", `A model may have ${MAX_MODEL_SECRETS} secrets: delete one first.`);
}

/** The names of a model's secrets, in order. */
export async function listModelSecrets(db: D1Database, { owner, name }: ModelName): Promise<ListedSecret[]> {
  const { results } = await db
    .prepare("SELECT secret, created_at, updated_at FROM model_secrets WHERE owner = ? AND name = ? ORDER BY secret")
    .bind(owner, name)
    .all();
  return results.map((row) => ListedRowSchema.parse(row));
}

/** Deletes a secret; false when there is none of that name. */
export async function deleteModelSecret(db: D1Database, model: ModelName, secret: string): Promise<boolean> {
  const { meta } = await db
    .prepare("DELETE FROM model_secrets WHERE owner = ? AND name = ? AND secret = ?")
    .bind(model.owner, model.name, secret)
    .run();
  return meta.changes > 0;
}

/** The values of those of `names` that are set, and were sealed with today's secret of the deployment. */
export async function readModelSecrets(
  env: Stores,
  model: ModelName,
  names: readonly string[],
): Promise<Record<string, string>> {
  const { results } = await env.DB.prepare(
    `SELECT secret, sealed FROM model_secrets WHERE owner = ? AND name = ? AND secret IN (SELECT value FROM json_each(?))`,
  )
    .bind(model.owner, model.name, JSON.stringify(names))
    .all();
  const found = await Promise.all(
    results.map(async (row) => {
      const { secret, sealed } = SealedRowSchema.parse(row);
      const value = valueIn(await unseal(env.EDGEPLANE_SECRET, sealed), placeOf(model, secret));
      return value === null ? [] : [[secret, value] as const];
    }),
  );
  return Object.fromEntries(found.flat());
}

function valueIn(opened: string | null, place: string): string | null {
  if (opened === null) return null;
  const [at, value] = z.tuple([z.string(), z.string()]).parse(JSON.parse(opened));
  return at === place ? value : null;
}

function placeOf({ owner, name }: ModelName, secret: string): string {
  return `${owner}/${name}/${secret}`;
}
