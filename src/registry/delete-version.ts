/** Deleting a version of a private model: what stands in the way, and what goes with it. */
import { EdgeplaneError } from "../contract/errors.ts";
import type { Env } from "../env.ts";
import type { ModelName, Viewer } from "./known-models.ts";
import { oldMarks } from "./model-changes.ts";
import { forgetModel } from "./models.ts";
import type { QuotaVars } from "./quotas.ts";
import { IS_LIVE } from "./version-state.ts";

/** Aliases that a refusal names. */
const NAMED_ALIASES = 5;

type Deletion = { id: string; ownerAccountId: string; isForced: boolean };
type Holders = {
  visibility: string;
  shared: number;
  /** "": another account's, whose names are nobody's to know. */
  deployment: string | null;
  aliases: string | null;
  canary: string | null;
  rule: number;
  latest: number;
  others: number;
};

/**
 * Deletes a version; its aliases, canaries and rules go with it, and of `latest` the newest that is left is made.
 * Throws `conflict` when the model is public, when another account has run the version, and, unless it is forced, while
 * something points to it. The last version of a model may go although `latest` points to it: nothing else could be
 * that.
 */
export async function deleteVersion(
  env: QuotaVars & Pick<Env, "DB">,
  model: ModelName,
  { id, ownerAccountId, isForced }: Deletion,
): Promise<void> {
  const { owner, name } = model;
  const reason = refusalOf(await holdersOf(env.DB, model, id, ownerAccountId), isForced);
  if (reason !== null) throw new EdgeplaneError("conflict", reason);
  await env.DB.batch([
    env.DB.prepare(
      "UPDATE versions SET deleted_at = ?4, manifest = '{}' WHERE owner = ?1 AND name = ?2 AND id = ?3",
    ).bind(owner, name, id, Date.now()),
    env.DB.prepare("DELETE FROM aliases WHERE owner = ?1 AND name = ?2 AND version = ?3").bind(owner, name, id),
    env.DB.prepare(
      `UPDATE models SET latest_version = (SELECT id FROM versions WHERE owner = ?1 AND name = ?2 AND deleted_at IS NULL AND ${IS_LIVE}
         ORDER BY created_at DESC, id DESC LIMIT 1) WHERE owner = ?1 AND name = ?2 AND latest_version = ?3`,
    ).bind(owner, name, id),
    env.DB.prepare(
      `UPDATE canaries SET ended_at = ?4, outcome = 'aborted', reason = 'Its version was deleted.'
         WHERE owner = ?1 AND name = ?2 AND version = ?3 AND ended_at IS NULL`,
    ).bind(owner, name, id, Date.now()),
    env.DB.prepare(
      `UPDATE models SET routes = (SELECT json_group_array(json(value)) FROM json_each(routes) WHERE value ->> 'version' <> ?3)
         WHERE owner = ?1 AND name = ?2 AND routes IS NOT NULL`,
    ).bind(owner, name, id),
    oldMarks(env, "versions", owner),
  ]);
  forgetModel(model, id);
}

/** Whether a version was there that the viewer might have known of; `model` null: of any model. */
export async function wasDeleted(
  db: D1Database,
  { accountName }: Viewer,
  model: ModelName | null,
  id: string,
): Promise<boolean> {
  const found = await db
    .prepare(
      `SELECT 1 AS there FROM versions v JOIN models m ON m.owner = v.owner AND m.name = v.name
       WHERE v.id = ?1 AND v.deleted_at IS NOT NULL AND (m.visibility = 'public' OR m.owner = ?2)
         AND (?3 IS NULL OR (v.owner = ?3 AND v.name = ?4)) LIMIT 1`,
    )
    .bind(id, accountName, model?.owner ?? null, model?.name ?? null)
    .first("there");
  return found === 1;
}

async function holdersOf(
  db: D1Database,
  { owner, name }: ModelName,
  id: string,
  account: string,
): Promise<Holders | null> {
  return db
    .prepare(
      `SELECT m.visibility, m.latest_version = ?3 AS latest,
         EXISTS (SELECT 1 FROM runs WHERE owner = ?1 AND name = ?2 AND version = ?3 AND account_id <> ?4) AS shared,
         (SELECT iif(account_id = ?4, name, '') FROM deployments
            WHERE model_owner = ?1 AND model_name = ?2 AND version = ?3 ORDER BY account_id <> ?4 LIMIT 1) AS deployment,
         (SELECT group_concat(alias, ', ') FROM (SELECT alias FROM aliases WHERE owner = ?1 AND name = ?2 AND version = ?3
            LIMIT ${NAMED_ALIASES})) AS aliases,
         (SELECT pointer FROM canaries c WHERE owner = ?1 AND name = ?2 AND version = ?3 AND ended_at IS NULL
            AND (c.base = m.latest_version
              OR EXISTS (SELECT 1 FROM aliases a WHERE a.owner = ?1 AND a.name = ?2 AND a.version = c.base)
              OR EXISTS (SELECT 1 FROM deployments WHERE model_owner = ?1 AND model_name = ?2 AND version = c.base))
            LIMIT 1) AS canary,
         EXISTS (SELECT 1 FROM json_each(m.routes) WHERE value ->> 'version' = ?3) AS rule,
         EXISTS (SELECT 1 FROM versions WHERE owner = ?1 AND name = ?2 AND id <> ?3 AND deleted_at IS NULL) AS others
       FROM models m WHERE m.owner = ?1 AND m.name = ?2`,
    )
    .bind(owner, name, id, account)
    .first<Holders>();
}

/** What stands in the way; null: nothing. */
function refusalOf(holders: Holders | null, isForced: boolean): string | null {
  if (holders?.visibility !== "private") return "Only versions of private models can be deleted.";
  if (holders.shared === 1) return "Another account has run this version.";
  if (isForced) return null;
  const remedy = "; move or end that first, or delete with `force=true`.";
  if (holders.deployment === "")
    return `A deployment of another account runs this version; delete with \`force=true\`.`;
  if (holders.deployment !== null) return `The deployment "${holders.deployment}" runs this version${remedy}`;
  if (holders.aliases !== null) return `An alias points to this version (${holders.aliases})${remedy}`;
  if (holders.canary !== null) return `A canary tries this version (${nameOf(holders.canary)})${remedy}`;
  if (holders.rule === 1) return `A rule of the model's routes names this version${remedy}`;
  if (holders.latest === 1 && holders.others === 1) return `\`latest\` points to this version${remedy}`;
  return null;
}

/** Of a canary's pointer: the alias with its model, or the deployment, whose account is nobody's to know. */
function nameOf(pointer: string): string {
  return pointer.startsWith("deployment ") ? "a deployment's" : pointer.slice("alias ".length);
}
