/**
 * What deployments say of how their versions run. What goes with each prediction is each deployment's own; the rest
 * holds for whatever runs the version, so that deployments of one version may not disagree over it. Only those of the
 * model's owner say it: the routes check that.
 */
import * as z from "zod";
import { EdgeplaneError } from "../contract/errors.ts";
import { ownKeys, sharedOf } from "../contract/model-configuration.ts";
import type { ModelConfiguration } from "../contract/model-configuration.ts";
import { ConfigurationColumnSchema, MAX_CONFIGURED } from "./configuration-column.ts";

type Configured = {
  name: string;
  model: { owner: string; name: string };
  version: string;
  configuration: ModelConfiguration | null;
};

const OWN = ownKeys.map((key) => `'${key}'`).join(", ");

/** As the row has it. */
export function columnOf(configuration: ModelConfiguration | null): string | null {
  return configuration === null || Object.keys(configuration).length === 0 ? null : JSON.stringify(configuration);
}

/** What `disagreeing` compares. */
export function sharedColumnOf(configuration: ModelConfiguration | null): string {
  return JSON.stringify(sharedOf(configuration ?? {}));
}

/**
 * The SQL query for other deployments of a version that say one of the keys of `shared` (a JSON object) otherwise. All
 * parameters are expressions of the statement that it becomes a part of.
 */
export function disagreeing(owner: string, model: string, version: string, name: string, shared: string): string {
  return `SELECT d.name, theirs.key, ${shown("theirs")} AS theirs, ${shown("ours")} AS ours
    FROM deployments d, json_each(d.configuration) theirs, json_each(${shared}) ours
    WHERE d.model_owner = ${owner} AND d.model_name = ${model} AND d.version = ${version} AND d.name <> ${name}
      AND d.configuration IS NOT NULL AND theirs.key = ours.key AND theirs.key NOT IN (${OWN})
      AND theirs.value IS NOT ours.value`;
}

/** SQLite has 1 and 0 for true and false. */
function shown(table: string): string {
  return `iif(${table}.type IN ('true', 'false'), ${table}.type, ${table}.value)`;
}

const DisagreementSchema = z.object({ name: z.string(), key: z.string(), theirs: z.unknown(), ours: z.unknown() });

/** Throws `conflict`, naming the other deployment, where one says otherwise of the same version. */
export async function checkAgreement(db: D1Database, { name, model, version, configuration }: Configured) {
  const found = await db
    .prepare(`${disagreeing("?1", "?2", "?3", "?4", "?5")} ORDER BY d.name LIMIT 1`)
    .bind(model.owner, model.name, version, name, sharedColumnOf(configuration))
    .first();
  if (found === null) return;
  const { name: other, key, theirs, ours } = DisagreementSchema.parse(found);
  throw new EdgeplaneError(
    "conflict",
    `The deployment ${model.owner}/${other} runs the same version and says ${key}: ${String(theirs)}, this one ${String(ours)}. It holds for all that run the version: say the same in both, or leave it out of one.`,
  );
}

const RowSchema = z.object({
  model_owner: z.string(),
  model_name: z.string(),
  version: z.string(),
  configuration: ConfigurationColumnSchema,
});

/**
 * By `owner/name:version`: what deployments say for all that run a version of a model of these owners, who take turns.
 * Settings that other accounts' deployments have for their own predictions crowd nothing out.
 */
export async function sharedByVersion(
  db: D1Database,
  owners: readonly string[],
): Promise<Record<string, ModelConfiguration>> {
  const { results } = await db
    .prepare(
      `SELECT d.model_owner, d.model_name, d.version, d.configuration,
         row_number() OVER (PARTITION BY d.model_owner ORDER BY d.created_at, d.name) AS turn FROM json_each(?) asked
       JOIN deployments d INDEXED BY deployments_configured ON d.model_owner = asked.value AND d.configuration IS NOT NULL
       WHERE EXISTS (SELECT 1 FROM json_each(d.configuration) WHERE key NOT IN (${OWN}))
       ORDER BY turn, d.model_owner LIMIT ${MAX_CONFIGURED}`,
    )
    .bind(JSON.stringify(owners))
    .all();
  const versions: Record<string, ModelConfiguration> = {};
  for (const row of results.map((one) => RowSchema.parse(one))) {
    const shared = sharedOf(row.configuration ?? {});
    const key = `${row.model_owner}/${row.model_name}:${row.version}`;
    if (Object.keys(shared).length > 0) versions[key] = { ...versions[key], ...shared };
  }
  return versions;
}
