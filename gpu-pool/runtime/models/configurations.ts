/** What the edge says of how models run, and which of it is about one version. */
import type * as z from "zod";
import type { ConfigurationsSchema, ModelConfiguration } from "../../../src/contract/model-configuration.ts";
import { modelPath } from "../../../src/contract/manifest.ts";
import type { ModelRef } from "../../../src/contract/prediction.ts";

export type Configurations = z.output<typeof ConfigurationsSchema>;

export const NOTHING_SAID: Configurations = { configurations: {}, versions: {} };

/** Of this version: what deployments say holds before what its model's row says. */
export function configurationOf({ configurations, versions }: Configurations, ref: ModelRef): ModelConfiguration {
  const path = modelPath(ref);
  return { ...configurations[path], ...versions[`${path}:${ref.version}`] };
}
