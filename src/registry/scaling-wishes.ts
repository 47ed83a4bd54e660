/** What models and deployments say of the machines that they want: read for the scaler. */
import * as z from "zod";
import { ModelScalingSchema } from "../contract/model-scaling.ts";
import type { ModelScaling } from "../contract/model-scaling.ts";
import { ConfigurationColumnSchema } from "./configuration-column.ts";

/** Versions of one answer that keep machines though nothing waits; of more, the accounts have some each. */
export const MAX_KEEPING = 200;

export type VersionName = { model: string; version: string };

/** By deployments: hardware that they name, and their bounds. */
export type ScalingWish = VersionName & {
  lane: string;
  own: ModelScaling;
  deployments: { hardware: string; min: number; max: number }[];
  hardware: string | null;
  memoryBytes: number;
};

const DeploymentsColumnSchema = z
  .string()
  .transform((text) =>
    z.array(z.object({ hardware: z.string(), min: z.number(), max: z.number() })).parse(JSON.parse(text)),
  );
const RowSchema = z.object({
  owner: z.string(),
  name: z.string(),
  version: z.string(),
  lane: z.string().nullable(),
  hardware: z.string().nullable(),
  scaling: z.string().nullable(),
  configuration: ConfigurationColumnSchema,
  deployments: DeploymentsColumnSchema,
});

/**
 * The wishes of these versions, and of those that a deployment, the model itself, or the operator keeps machines for.
 * `kept`: the operator's, by `owner/name`, of each the latest version. What was deleted has none.
 */
export async function readWishes(
  db: D1Database,
  asked: readonly VersionName[],
  kept: readonly string[],
): Promise<ScalingWish[]> {
  const partsOf = (model: string) => ({ owner: model.split("/")[0], name: model.split("/")[1] });
  const names = asked.map(({ model, version }) => ({ ...partsOf(model), version }));
  const { results } = await db
    .prepare(
      `WITH asked AS (
         SELECT value ->> 'owner' AS owner, value ->> 'name' AS name, value ->> 'version' AS version FROM json_each(?1)
         UNION SELECT * FROM (SELECT model_owner, model_name, version FROM deployments INDEXED BY deployments_keeping
           WHERE min_instances > 0 ORDER BY ${turnOf("account_id", "created_at, name")} LIMIT ${MAX_KEEPING})
         UNION SELECT * FROM (SELECT owner, name, latest_version FROM models INDEXED BY models_keeping
           WHERE configuration ->> '$.scaling.min' > 0 AND latest_version IS NOT NULL
           ORDER BY ${turnOf("owner", "name")} LIMIT ${MAX_KEEPING})
         UNION SELECT * FROM (SELECT m.owner, m.name, m.latest_version FROM versions k INDEXED BY versions_keeping
           JOIN models m ON m.owner = k.owner AND m.name = k.name AND m.latest_version = k.id
           WHERE k.manifest ->> '$.scaling.min' > 0 ORDER BY ${turnOf("m.owner", "m.name")} LIMIT ${MAX_KEEPING})
         UNION SELECT * FROM (SELECT m.owner, m.name, m.latest_version FROM json_each(?2) o
           JOIN models m ON m.owner = o.value ->> 'owner' AND m.name = o.value ->> 'name'
           WHERE m.latest_version IS NOT NULL LIMIT ${MAX_KEEPING}))
       SELECT v.owner, v.name, v.id AS version, v.manifest ->> 'lane' AS lane, m.hardware,
         v.manifest ->> 'scaling' AS scaling, m.configuration,
         (SELECT json_group_array(json_object('hardware', hardware, 'min', min_instances, 'max', max_instances))
            FROM deployments d WHERE d.model_owner = v.owner AND d.model_name = v.name AND d.version = v.id) AS deployments
       FROM asked JOIN versions v ON v.owner = asked.owner AND v.name = asked.name AND v.id = asked.version
       JOIN models m ON m.owner = v.owner AND m.name = v.name
       WHERE v.deleted_at IS NULL AND m.deleted_at IS NULL`,
    )
    .bind(JSON.stringify(names), JSON.stringify(kept.map(partsOf)))
    .all();
  return results.map((row) => wishOf(RowSchema.parse(row)));
}

/** An order in which accounts take turns: no one's wishes crowd out another's. */
function turnOf(account: string, order: string): string {
  return `row_number() OVER (PARTITION BY ${account} ORDER BY ${order}), ${account}`;
}

function wishOf(row: z.output<typeof RowSchema>): ScalingWish {
  const said = row.scaling === null ? {} : (ModelScalingSchema.safeParse(JSON.parse(row.scaling)).data ?? {});
  return {
    model: `${row.owner}/${row.name}`,
    version: row.version,
    lane: row.lane ?? "default",
    own: { ...said, ...row.configuration?.scaling },
    deployments: row.deployments,
    hardware: row.hardware,
    memoryBytes: row.configuration?.deviceMemoryBytes ?? 0,
  };
}
