/** What a pool may fetch: pushed versions of its token's owners, on its lanes. */
import * as z from "zod";
import { ManifestSchema } from "../contract/manifest.ts";
import { MAX_DESIRED_MODELS } from "../contract/push.ts";
import type { DesiredModels } from "../contract/push.ts";
import type { PoolIdentity } from "../fleet/types.ts";
import { isSettledSql } from "./version-reports.ts";

const RowSchema = z.object({
  manifest: z.string().transform((text) => ManifestSchema.parse(JSON.parse(text))),
  bytes: z.number(),
  files: z.number(),
  pushed_at: z.number(),
  live: z.number(),
  pending: z.number(),
});

/** A host that has not tried yet does so, unless several others have. */
const IS_OPEN = `(b.failed = 0 OR (b.failed = 1 AND NOT ${isSettledSql("b.reports", "?5", "?6")}))`;
const IS_PENDING = `(?4 AND ${IS_OPEN} AND EXISTS (SELECT 1 FROM versions v WHERE v.owner = b.owner
  AND v.name = b.name AND v.id = b.version AND v.manifest ->> 'schema' IS NULL))`;

/** `session`: of the pool that asks. */
type Asking = Pick<PoolIdentity, "poolTokenId" | "owners" | "lanes" | "mayRegisterModels"> & { session: string };

/**
 * The live ones first, and of those the newest of each owner: owners take turns, so that one who pushes many crowds out
 * none of another's. Deleted versions are among the others for as long as what was accepted before may run; and pending
 * ones where the token can't make them live.
 */
export async function desiredModels(
  db: D1Database,
  { poolTokenId, session, owners, lanes, mayRegisterModels }: Asking,
): Promise<DesiredModels> {
  const { results } = await db
    .prepare(
      `SELECT *, row_number() OVER (PARTITION BY owner, live ORDER BY pushed_at DESC, version) AS turn FROM (
       SELECT b.owner, b.version, b.manifest, b.bytes, b.files, b.pushed_at, b.deleted_at IS NULL AND (
         EXISTS (SELECT 1 FROM models m WHERE m.owner = b.owner AND m.name = b.name AND m.latest_version = b.version)
         OR EXISTS (SELECT 1 FROM aliases a WHERE a.owner = b.owner AND a.name = b.name AND a.version = b.version)
         OR EXISTS (SELECT 1 FROM deployments d WHERE d.model_owner = b.owner AND d.model_name = b.name AND d.version = b.version)
         OR EXISTS (SELECT 1 FROM canaries c WHERE c.owner = b.owner AND c.name = b.name AND c.version = b.version AND c.ended_at IS NULL)
         OR EXISTS (SELECT 1 FROM models m, json_each(m.routes) r WHERE m.owner = b.owner AND m.name = b.name AND r.value ->> 'version' = b.version)
         OR ${IS_PENDING}) AS live, b.deleted_at IS NULL AND ${IS_PENDING} AS pending
       FROM json_each(?1) asked JOIN bundles b ON b.owner = asked.value
       WHERE b.lane IN (SELECT value FROM json_each(?2))
         AND (b.deleted_at IS NULL OR b.deleted_at + (b.manifest ->> 'totalTimeoutMs') > ?3)
       ) ORDER BY live DESC, turn, pushed_at DESC, version LIMIT ${MAX_DESIRED_MODELS}`,
    )
    .bind(
      ...[JSON.stringify(owners), JSON.stringify(lanes), Date.now(), mayRegisterModels ? 1 : 0],
      ...[poolTokenId, session],
    )
    .all();
  const rows = results.map((row) => RowSchema.parse(row));
  return {
    models: rows.map(({ manifest, bytes, files, pushed_at: pushedAt, live, pending }) => ({
      manifest,
      bundle: { bytes, files },
      isLive: live === 1,
      isPending: pending === 1,
      pushedAt,
    })),
  };
}
