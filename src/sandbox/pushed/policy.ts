/** What the operator lets plugins of pushed models do: a part of the settings. */
import * as z from "zod";
import { screeningPhases } from "../../contract/attached-plugin.ts";
import type { AttachedPlugin } from "../../contract/attached-plugin.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import { NameSchema } from "../../contract/manifest.ts";
import { MAX_MODULE_BYTES } from "../manifest.ts";

/** In place of owners: all of them. */
const EVERYBODY = "*";
const MAX_OWNERS = 10_000;
const MAX_PLUGINS = 8;
/** Of a push that may bring none, so many are named. */
const NAMED = 5;

export const PushedPolicySchema = z
  .strictObject({
    owners: z
      .array(z.union([z.literal(EVERYBODY), NameSchema]))
      .max(MAX_OWNERS)
      .default([])
      .meta({ description: "Whose models may bring plugins, by the accounts' names; `*`: everybody's; none." }),
    phases: z
      .array(z.enum(screeningPhases))
      .min(1)
      .default([...screeningPhases])
      .meta({ description: "In which phases." }),
    max_plugins: z.int().min(1).max(MAX_PLUGINS).default(4).meta({ description: "Of one version." }),
    module_bytes: z.int().min(1).max(MAX_MODULE_BYTES).default(262_144).meta({ description: "Of one module." }),
    timeout_ms: z.int().min(1).max(10_000).default(1000).meta({ description: "One hook takes no longer." }),
    cpu_ms: z
      .int()
      .min(1)
      .max(1000)
      .default(50)
      .meta({ description: "One hook computes no longer, where the platform can limit it." }),
  })
  .meta({ id: "PushedPlugins", description: "What plugins that come with pushed models may do." });
export type PushedPolicy = z.output<typeof PushedPolicySchema>;

/** Throws `plugins_not_allowed` unless models of `owner` may have these plugins. */
export function checkAllowed(
  policy: PushedPolicy,
  owner: string,
  plugins: readonly Pick<AttachedPlugin, "name" | "phases">[],
): void {
  if (!policy.owners.includes(EVERYBODY) && !policy.owners.includes(owner)) {
    const names = plugins.slice(0, NAMED).map(({ name }) => `"${name}"`);
    const more = plugins.length > NAMED ? `, and ${plugins.length - NAMED} more` : "";
    const detail = `It brings plugins (${names.join(", ")}${more}), and \`pushed_plugins.owners\` of the settings doesn't name "${owner}".`;
    throw new EdgeplaneError("plugins_not_allowed", detail);
  }
  if (plugins.length > policy.max_plugins) {
    const detail = `It brings ${plugins.length} plugins; \`pushed_plugins.max_plugins\` of the settings is ${policy.max_plugins}.`;
    throw new EdgeplaneError("plugins_not_allowed", detail);
  }
  for (const { name, phases } of plugins) {
    const phase = phases.find((one) => !policy.phases.includes(one));
    if (phase === undefined) continue;
    const detail = `The plugin "${name}" has a hook of ${phase}; \`pushed_plugins.phases\` of the settings lacks that.`;
    throw new EdgeplaneError("plugins_not_allowed", detail);
  }
}
