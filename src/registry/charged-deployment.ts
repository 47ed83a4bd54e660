/** Who is charged for the instances of a version: the account that deployed it first. */
import * as z from "zod";
import type { ModelRef } from "../contract/prediction.ts";

export type Charged = { accountId: string; deployment: string };

const DeploymentSchema = z.object({ account_id: z.string(), name: z.string() });
const RowSchema = z.object({
  owner: z.string(),
  name: z.string(),
  version: z.string(),
  lane: z.string().nullable(),
  deployments: z.number(),
  deployment: z
    .string()
    .transform((text) => DeploymentSchema.parse(JSON.parse(text)))
    .nullable(),
});
/** `lane`: null of a version that was deleted. `deployments`: how many there are. */
export type ChargedVersion = ModelRef & { lane: string | null; deployment: Charged | null; deployments: number };

/** Of those of the versions that there are: the lane, and the first deployment (`account/name`). One query for all. */
export async function chargedDeployments(db: D1Database, versions: readonly ModelRef[]): Promise<ChargedVersion[]> {
  if (versions.length === 0) return [];
  const { results } = await db
    .prepare(
      `SELECT v.owner, v.name, v.id AS version, v.manifest ->> 'lane' AS lane,
         (SELECT count(*) FROM deployments d
            WHERE d.model_owner = v.owner AND d.model_name = v.name AND d.version = v.id) AS deployments,
         (SELECT json_object('account_id', d.account_id, 'name', a.name || '/' || d.name)
            FROM deployments d JOIN accounts a ON a.id = d.account_id
            WHERE d.model_owner = v.owner AND d.model_name = v.name AND d.version = v.id
            ORDER BY d.created_at LIMIT 1) AS deployment
       FROM json_each(?1) asked
       JOIN versions v ON v.owner = asked.value ->> 'owner' AND v.name = asked.value ->> 'name'
         AND v.id = asked.value ->> 'version'`,
    )
    .bind(JSON.stringify(versions))
    .all();
  return results.map((row) => {
    const { deployment, ...version } = RowSchema.parse(row);
    const charged = deployment === null ? null : { accountId: deployment.account_id, deployment: deployment.name };
    return { ...version, deployment: charged };
  });
}
