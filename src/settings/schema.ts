/** Settings as operators write them and as they are kept: which plugins are on, how, and for whom. */
import * as z from "zod";
import { defaultSettings } from "../../plugins/catalog.ts";
import { JsonSchema } from "../contract/prediction.ts";
import type { Json } from "../contract/prediction.ts";
import { defaultScaling, ScalingSettingsSchema } from "../contract/scaling.ts";
import { PluginHashSchema } from "../sandbox/manifest.ts";
import { PushedPolicySchema } from "../sandbox/pushed/policy.ts";
import { PricesSchema, RentsSchema } from "./prices.ts";

/** While the settings can't be read, the last ones hold for so long at most. */
const MAX_STALE_S = 60;
const MAX_TIMEOUT_MS = 30_000;
const MAX_UPLOADS = 32;
const MAX_GRANTS = 16;

const NameSchema = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "lower-case letters, digits, hyphens");

const EntrySchema = z
  .strictObject({
    config: JsonSchema.optional().meta({ description: "The plugin's own settings; `{}`." }),
    shadow: z
      .boolean()
      .optional()
      .meta({ description: "It lets all through; what it would have refused or changed is recorded." }),
    fail_mode: z
      .enum(["closed", "open"])
      .optional()
      .meta({ description: "Whether a request is refused, or let through, when the plugin can't decide." }),
    timeout_ms: z.number().int().min(1).max(MAX_TIMEOUT_MS).optional().meta({ description: "For one of its hooks." }),
    after: z.array(NameSchema).max(50).optional().meta({ description: "Plugins that run before it, if they are on." }),
  })
  .meta({ id: "PluginEntry" });

const PluginsSchema = z.record(NameSchema, EntrySchema);
const OverrideSchema = z.strictObject({
  plugins: z
    .record(NameSchema, EntrySchema.nullable())
    .meta({ description: "By name: what holds in place of the general entry, whole; null turns the plugin off." }),
});

export const SettingsSchema = z
  .strictObject({
    plugins: PluginsSchema.meta({ description: "Those that are on, by name." }),
    accounts: z
      .record(z.string().min(1).max(64), OverrideSchema)
      .default({})
      .meta({ description: "What is otherwise for an account, by its id or name; it comes before the model's." }),
    models: z
      .record(z.string().regex(/^[^/\s]{1,128}\/[^/\s]{1,128}$/, "owner/name"), OverrideSchema)
      .default({})
      .meta({ description: "What is otherwise for a model, by `owner/name`." }),
    uploads: z
      .record(
        NameSchema,
        z.strictObject({
          version: PluginHashSchema.meta({ description: "The version of the uploaded plugin." }),
          network: z.array(z.string()).max(MAX_GRANTS).default([]).meta({
            description: "Of the hosts that it asks for, those that it is granted.",
          }),
        }),
      )
      .refine((uploads) => Object.keys(uploads).length <= MAX_UPLOADS, `at most ${MAX_UPLOADS}`)
      .default({})
      .meta({ description: "Uploaded plugins, by name: they are turned on by `plugins`, as others are." }),
    scaling: ScalingSettingsSchema.default(defaultScaling).meta({
      description: "Which machines are rented, and how many; docs/scaling.md. Nothing is until a provider has come.",
    }),
    pushed_plugins: PushedPolicySchema.prefault({}),
    prices: PricesSchema.optional().meta({
      description: "What predictions cost their accounts; a price holds for what is accepted while it holds.",
    }),
    rents: RentsSchema.optional().meta({
      description: "What devices cost the operator; only `GET /admin/v1/usage/margin` reads it.",
    }),
    serve_stale_s: z.number().int().min(0).max(MAX_STALE_S).default(MAX_STALE_S).meta({
      description:
        "How many seconds the last settings hold while new ones can't be read, beyond the 5 that they always do; 0: requests are refused.",
    }),
  })
  .meta({ id: "Settings" });
export type Settings = z.output<typeof SettingsSchema>;
/** As they are stored: without what is as it would be anyway. */
export type KeptSettings = z.input<typeof SettingsSchema>;

/**
 * What a later release stored and this one leaves out: where it stands, as keys from the top, and what stands there.
 */
export type Ignored = { path: readonly (string | number)[]; value: Json };

/**
 * Settings with their number. Number 0 is what holds until anything is published. `ignored`: what was left out of what
 * is stored, if anything was.
 */
export type NumberedSettings = { number: number; settings: Settings; ignored?: readonly Ignored[] };

export const firstSettings: NumberedSettings = {
  number: 0,
  settings: SettingsSchema.parse({ plugins: defaultSettings }),
};

/** A release that is put back reads them as long as nothing is set that it doesn't know. */
export function keptForm(settings: Settings): KeptSettings {
  const usual = new Map(Object.entries(SettingsSchema.parse({ plugins: {} })).map(([key, one]) => [key, asText(one)]));
  const { plugins, ...rest } = settings;
  return {
    plugins,
    ...Object.fromEntries(Object.entries(rest).filter(([key, one]) => usual.get(key) !== asText(one))),
  };
}

function asText(value: unknown): string {
  return JSON.stringify(value) ?? "";
}
