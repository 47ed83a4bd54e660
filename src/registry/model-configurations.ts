/** How models run, in place of what their files say: read for pools, and applied to versions that clients ask for. */
import * as z from "zod";
import type { ConfigurationsSchema, ModelConfiguration } from "../contract/model-configuration.ts";
import type { Manifest } from "../contract/manifest.ts";

import { sharedByVersion } from "./deployment-configurations.ts";
import { ConfigurationColumnSchema, MAX_CONFIGURED } from "./configuration-column.ts";

type Configurations = z.output<typeof ConfigurationsSchema>;
const RowSchema = z.object({ owner: z.string(), name: z.string(), configuration: ConfigurationColumnSchema });

/**
 * Of the models of these owners that have any, and of their versions that deployments of theirs say something of. Of
 * more than fit into an answer, the owners have some each.
 */
export async function readConfigurations(db: D1Database, owners: readonly string[]): Promise<Configurations> {
  const [configurations, versions] = await Promise.all([ofModels(db, owners), sharedByVersion(db, owners)]);
  return { configurations, versions };
}

async function ofModels(db: D1Database, owners: readonly string[]): Promise<Configurations["configurations"]> {
  const { results } = await db
    .prepare(
      `SELECT m.owner, m.name, m.configuration, row_number() OVER (PARTITION BY m.owner ORDER BY m.name) AS turn
       FROM json_each(?) asked
       JOIN models m INDEXED BY models_configured ON m.owner = asked.value AND m.configuration IS NOT NULL
       WHERE m.deleted_at IS NULL ORDER BY turn, m.owner LIMIT ${MAX_CONFIGURED}`,
    )
    .bind(JSON.stringify(owners))
    .all();
  const rows = results.map((row) => RowSchema.parse(row));
  return Object.fromEntries(rows.map(({ owner, name, configuration }) => [`${owner}/${name}`, configuration ?? {}]));
}

/** The manifest with what its model's row says of accepting and queueing. */
export function withConfiguration(manifest: Manifest, configuration: ModelConfiguration | null): Manifest {
  if (configuration === null) return manifest;
  const { startTimeoutMs, totalTimeoutMs, maxBatchSize, maxQueueDelayMs, pinned } = configuration;
  return {
    ...manifest,
    startTimeoutMs: startTimeoutMs ?? manifest.startTimeoutMs,
    totalTimeoutMs: totalTimeoutMs ?? manifest.totalTimeoutMs,
    maxBatchSize: maxBatchSize ?? manifest.maxBatchSize,
    maxQueueDelayMs: maxQueueDelayMs ?? manifest.maxQueueDelayMs,
    minInstances: pinned === undefined ? manifest.minInstances : Number(pinned),
  };
}
