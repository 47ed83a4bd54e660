/** A plugin that came with a pushed version: it screens that version's inputs and outputs alone. docs/push.md */
import * as z from "zod";
import { Sha256Schema } from "./bundle.ts";

export const screeningPhases = ["screenInput", "screenOutput"] as const;
export type ScreeningPhase = (typeof screeningPhases)[number];

/** As the registry keeps it. `module` and `config` name chunks of the version's owner. */
export const AttachedPluginSchema = z.object({
  name: z.string(),
  phases: z.array(z.enum(screeningPhases)),
  judges: z.boolean(),
  fail_mode: z.enum(["closed", "open"]),
  timeout_ms: z.int(),
  cpu_ms: z.int(),
  /** SHA-256 of its manifest and its module, as of an uploaded plugin. */
  hash: Sha256Schema,
  module: Sha256Schema,
  /** Null: its settings are `{}`. */
  config: Sha256Schema.nullable(),
});
export type AttachedPlugin = z.infer<typeof AttachedPluginSchema>;

/** Of a version's view. */
export const ShownPluginSchema = AttachedPluginSchema.pick({
  name: true,
  phases: true,
  fail_mode: true,
  hash: true,
}).meta({ id: "AttachedPlugin", description: "A plugin that came with the version." });

/** Whether outputs pass one of them. */
export function screensOutput(plugins: readonly AttachedPlugin[]): boolean {
  return plugins.some(({ phases }) => phases.includes("screenOutput"));
}
