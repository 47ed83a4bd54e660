/** Who is charged for the instances of a version: the account that deployed it first. */
import * as z from "zod";
import type { ModelRef } from "../contract/prediction.ts";

export type Charged = { accountId: string; deployment: string };

const RowSchema = z.object({ lane: z.string(), account_id: z.string().nullable(), name: z.string().nullable() });

/** The lane of the version and its first deployment (`account/name`); null: there is no such version. */
export async function chargedDeployment(
  db: D1Database,
  { owner, name, version }: ModelRef,
): Promise<{ lane: string; deployment: Charged | null } | null> {
  const found = await db
    .prepare(
      `SELECT v.manifest ->> 'lane' AS lane, d.account_id, a.name || '/' || d.name AS name
       FROM versions v
       LEFT JOIN deployments d ON d.model_owner = v.owner AND d.model_name = v.name AND d.version = v.id
       LEFT JOIN accounts a ON a.id = d.account_id
       WHERE v.owner = ?1 AND v.name = ?2 AND v.id = ?3
       ORDER BY d.created_at LIMIT 1`,
    )
    .bind(owner, name, version)
    .first();
  if (found === null) return null;
  const { lane, account_id: accountId, name: deployment } = RowSchema.parse(found);
  return { lane, deployment: accountId === null || deployment === null ? null : { accountId, deployment } };
}
