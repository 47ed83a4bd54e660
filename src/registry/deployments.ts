/**
 * Deployments: an account's own name for one version of a model, with the hardware and the bounds that scaling goes by.
 */
import * as z from "zod";
import { createTtlCache } from "../../plugins/kernel/ttl-cache.ts";
import { EdgeplaneError } from "../contract/errors.ts";
import { NameSchema } from "../contract/manifest.ts";
import type { Env } from "../env.ts";
import { ModelConfigurationSchema } from "../contract/model-configuration.ts";
import { checkAgreement, columnOf, disagreeing, sharedColumnOf } from "./deployment-configurations.ts";
import { ConfigurationColumnSchema } from "./configuration-column.ts";
import { VERSION } from "./known-models.ts";
import { SkuSchema } from "./model-changes.ts";
import { AliasNameSchema } from "./pointers.ts";
import { hasRoom, quotaExceeded } from "./quotas.ts";
import type { QuotaVars } from "./quotas.ts";

const CACHE_MS = 10_000;
const CACHED_DEPLOYMENTS = 2000;
const MAX_INSTANCES = 1000;

const InstancesSchema = z.number().int().min(0).max(MAX_INSTANCES);
const NamedVersionSchema = z
  .union([z.string().regex(VERSION), AliasNameSchema], "must be a version's 64 hexadecimal digits, or an alias")
  .meta({
    override: { type: "string" },
    description: "A version's 64 hexadecimal digits, or an alias of the model: the release has its version of now.",
  });

export const NewDeploymentSchema = z
  .object({
    name: NameSchema,
    model: z.string().regex(/^[^/:\s]{1,63}\/[^/:\s]{1,63}$/, "must be `owner/name`"),
    version: NamedVersionSchema,
    hardware: SkuSchema,
    min_instances: InstancesSchema,
    max_instances: InstancesSchema,
    configuration: ModelConfigurationSchema.nullish().meta({
      description:
        "What holds in place of what the model's files and its own configuration say, as a whole; null: nothing. `startTimeoutMs`, `totalTimeoutMs` and `predictTimeoutMs` hold for what this deployment accepts; the others for all that run the version, and only the model's owner may say them.",
    }),
  })
  .meta({ id: "NewDeployment" });

export const DeploymentChangeSchema = NewDeploymentSchema.pick({
  version: true,
  hardware: true,
  min_instances: true,
  max_instances: true,
  configuration: true,
}).partial();
export type DeploymentChange = z.output<typeof DeploymentChangeSchema>;

const DeploymentRowSchema = z
  .object({
    account_id: z.string(),
    name: z.string(),
    model_owner: z.string(),
    model_name: z.string(),
    version: z.string(),
    hardware: z.string(),
    min_instances: z.number(),
    max_instances: z.number(),
    release: z.number(),
    released_at: z.number(),
    created_at: z.number(),
    configuration: ConfigurationColumnSchema,
  })
  .transform((row) => ({
    accountId: row.account_id,
    name: row.name,
    model: { owner: row.model_owner, name: row.model_name },
    version: row.version,
    hardware: row.hardware,
    minInstances: row.min_instances,
    maxInstances: row.max_instances,
    /** What holds in place of what the model's files and its row say. */
    configuration: row.configuration,
    /** Counts from 1; every change is a new release. */
    release: row.release,
    releasedAt: row.released_at,
    createdAt: row.created_at,
  }));
export type Deployment = z.output<typeof DeploymentRowSchema>;

const cached = createTtlCache<Deployment>(CACHED_DEPLOYMENTS);

/**
 * Stores the first release of a deployment. Throws `already_exists` when the account has one of that name, and
 * `quota_exceeded`.
 */
export async function createDeployment(
  env: QuotaVars & Pick<Env, "DB">,
  deployment: Omit<Deployment, "release" | "releasedAt" | "createdAt">,
): Promise<Deployment> {
  checkBounds(deployment);
  const { accountId, name, model, version, hardware, minInstances, maxInstances, configuration } = deployment;
  const row = await env.DB.prepare(
    `INSERT INTO deployments SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, ?9, ?9, ?10
       WHERE ${hasRoom(env, "deployments", "?1")} AND NOT EXISTS (${disagreeing("?3", "?4", "?5", "?2", "?11")})
       ON CONFLICT DO NOTHING RETURNING *`,
  )
    .bind(
      ...[accountId, name, model.owner, model.name, version, hardware, minInstances, maxInstances, Date.now()],
      ...[columnOf(configuration), sharedColumnOf(configuration)],
    )
    .first();
  if (row !== null) return remember(row);
  await checkAgreement(env.DB, deployment);
  const isThere = env.DB.prepare("SELECT 1 AS there FROM deployments WHERE account_id = ? AND name = ?");
  if ((await isThere.bind(accountId, name).first("there")) === null) throw quotaExceeded(env, "deployments");
  throw new EdgeplaneError("already_exists", "A deployment with that name already exists.");
}

/** A deployment of the account; null when there is none. Remembered for at most 10 s in the isolate. */
export async function findDeployment(db: D1Database, accountId: string, name: string): Promise<Deployment | null> {
  const known = cached.get(keyOf(accountId, name));
  if (known !== undefined) return known;
  const query = "SELECT * FROM deployments WHERE account_id = ? AND name = ?";
  const row = await db.prepare(query).bind(accountId, name).first();
  return row === null ? null : remember(row);
}

/** The next look reads it anew: what follows from it is stored, and another isolate may have changed it. */
export function forgetDeployment(accountId: string, name: string): void {
  cached.delete(keyOf(accountId, name));
}

/** A page of the account's deployments, newest first, behind the deployment `after` (its id is its name). */
export async function listDeployments(
  db: D1Database,
  accountId: string,
  page: { after: { createdAt: number; id: string } | null; limit: number },
): Promise<Deployment[]> {
  const after = page.after ?? { createdAt: Number.MAX_SAFE_INTEGER, id: "" };
  const { results } = await db
    .prepare(
      `SELECT * FROM deployments WHERE account_id = ? AND (created_at, name) < (?, ?)
       ORDER BY created_at DESC, name DESC LIMIT ?`,
    )
    .bind(accountId, after.createdAt, after.id, page.limit)
    .all();
  return results.map((row) => DeploymentRowSchema.parse(row));
}

/**
 * Makes the next release; null when the account has no such deployment. Throws `invalid_input` for bounds that cross.
 */
export async function updateDeployment(
  db: D1Database,
  accountId: string,
  name: string,
  change: DeploymentChange,
): Promise<Deployment | null> {
  cached.delete(keyOf(accountId, name));
  const current = await findDeployment(db, accountId, name);
  if (current === null) return null;
  const next = {
    version: change.version ?? current.version,
    hardware: change.hardware ?? current.hardware,
    minInstances: change.min_instances ?? current.minInstances,
    maxInstances: change.max_instances ?? current.maxInstances,
    configuration: change.configuration === undefined ? current.configuration : change.configuration,
  };
  checkBounds(next);
  const { owner, name: modelName } = current.model;
  const row = await db
    .prepare(
      `UPDATE deployments SET version = ?3, hardware = ?4, min_instances = ?5, max_instances = ?6, release = release + 1,
         released_at = ?7, configuration = ?9 WHERE account_id = ?1 AND name = ?2 AND release = ?8
         AND NOT EXISTS (${disagreeing("?11", "?12", "?3", "?2", "?10")}) RETURNING *`,
    )
    .bind(
      ...[accountId, name, next.version, next.hardware, next.minInstances, next.maxInstances, Date.now()],
      ...[current.release, columnOf(next.configuration), sharedColumnOf(next.configuration), owner, modelName],
    )
    .first();
  cached.delete(keyOf(accountId, name));
  if (row === null) await checkAgreement(db, { ...current, ...next });
  if (row === null) throw new EdgeplaneError("conflict", "Another change of the deployment came first.");
  return remember(row);
}

/** Deletes a deployment; false when there is none. What it accepted runs on. */
export async function deleteDeployment(db: D1Database, accountId: string, name: string): Promise<boolean> {
  cached.delete(keyOf(accountId, name));
  const { meta } = await db
    .prepare("DELETE FROM deployments WHERE account_id = ? AND name = ?")
    .bind(accountId, name)
    .run();
  return meta.changes > 0;
}

function remember(row: unknown): Deployment {
  const deployment = DeploymentRowSchema.parse(row);
  cached.set(keyOf(deployment.accountId, deployment.name), deployment, CACHE_MS);
  return deployment;
}

function keyOf(accountId: string, name: string): string {
  return `${accountId}/${name}`;
}

function checkBounds({ minInstances, maxInstances }: { minInstances: number; maxInstances: number }): void {
  if (minInstances <= maxInstances) return;
  const description = "must not be below min_instances";
  throw new EdgeplaneError("invalid_input", `- max_instances: ${description}\n`, {
    invalidFields: [{ field: "max_instances", description }],
  });
}
