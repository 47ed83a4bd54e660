/** How models run, in place of what their files say: read for pools, and applied to versions that clients ask for. */
import * as z from "zod";
import { ModelConfigurationSchema } from "../contract/model-configuration.ts";
import type { ModelConfiguration } from "../contract/model-configuration.ts";
import type { Manifest } from "../contract/manifest.ts";

/** Of one answer to a pool. */
const MAX_CONFIGURED = 1000;

export const ConfigurationColumnSchema = z
  .string()
  .nullable()
  .transform((text) => (text === null ? null : ModelConfigurationSchema.parse(JSON.parse(text))));
const RowSchema = z.object({ owner: z.string(), name: z.string(), configuration: ConfigurationColumnSchema });

/** By `owner/name`, of the models of these owners that have any. */
export async function readConfigurations(
  db: D1Database,
  owners: readonly string[],
): Promise<Record<string, ModelConfiguration>> {
  const { results } = await db
    .prepare(
      `SELECT m.owner, m.name, m.configuration FROM json_each(?) asked
       JOIN models m INDEXED BY models_configured ON m.owner = asked.value AND m.configuration IS NOT NULL
       WHERE m.deleted_at IS NULL LIMIT ${MAX_CONFIGURED}`,
    )
    .bind(JSON.stringify(owners))
    .all();
  const rows = results.map((row) => RowSchema.parse(row));
  return Object.fromEntries(rows.map(({ owner, name, configuration }) => [`${owner}/${name}`, configuration ?? {}]));
}

/** The manifest with what its model's row says of accepting and queueing. */
export function withConfiguration(manifest: Manifest, configuration: ModelConfiguration | null): Manifest {
  if (configuration === null) return manifest;
  const { startTimeoutMs, totalTimeoutMs, maxBatchSize, maxQueueDelayMs } = configuration;
  return {
    ...manifest,
    startTimeoutMs: startTimeoutMs ?? manifest.startTimeoutMs,
    totalTimeoutMs: totalTimeoutMs ?? manifest.totalTimeoutMs,
    maxBatchSize: maxBatchSize ?? manifest.maxBatchSize,
    maxQueueDelayMs: maxQueueDelayMs ?? manifest.maxQueueDelayMs,
  };
}
