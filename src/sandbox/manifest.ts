/**
 * What an operator uploads: one ES module and its manifest. The two together are a version of the plugin, named by the
 * SHA-256 of both.
 */
import * as z from "zod";
import { JsonSchemaSchema } from "../../plugins/kernel/json-schema.ts";
import { phases } from "../../plugins/kernel/phases.ts";
import { sha256Hex } from "../../plugins/kernel/secret.ts";

export const MAX_MODULE_BYTES = 1024 * 1024;
const MAX_SCHEMA_CHARS = 64 * 1024;
const MAX_HOSTS = 16;
const MAX_NEIGHBOURS = 32;

export const PluginNameSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "lower-case letters, digits and hyphens, 63 at most");
export const PluginHashSchema = z.string().regex(/^[0-9a-f]{64}$/, "64 hexadecimal digits");

/** A host name alone: no scheme, no path; the port is 443. */
const HostSchema = z
  .string()
  .max(253)
  .regex(/^(?=.*[a-z])[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/, "a host name in lower case, such as api.example.com");

export const ManifestSchema = z.strictObject({
  name: PluginNameSchema,
  /** The contract that the plugin is written for: 1. */
  api_version: z.literal(1),
  phases: z.array(z.enum(phases)).min(1).meta({ uniqueItems: true }),
  /** JSON Schema of the plugin's settings; any object when left out. */
  config_schema: JsonSchemaSchema.default({ type: "object" }).refine(
    (schema) => JSON.stringify(schema).length <= MAX_SCHEMA_CHARS,
    "at most 64 KiB of JSON",
  ),
  after: z.array(PluginNameSchema).max(MAX_NEIGHBOURS).default([]),
  requires: z.array(PluginNameSchema).max(MAX_NEIGHBOURS).default([]),
  /** True: its hooks change nothing, and run beside others that don't. */
  judges: z.boolean().default(false),
  /** `closed`: a hook that breaks refuses the request. */
  fail_mode: z.enum(["closed", "open"]).default("closed"),
  /** How long one hook may take: 1 to 10,000; 1,000 unless stated. */
  timeout_ms: z.int().min(1).max(10_000).default(1000),
  /** What one call may compute, where the platform can limit it: 1 to 1,000; 50 unless stated. */
  cpu_ms: z.int().min(1).max(1000).default(50),
  /** Hosts that the plugin may call over HTTPS; none unless stated, and none before the operator grants them. */
  network: z.array(HostSchema).max(MAX_HOSTS).default([]),
});
export type Manifest = z.infer<typeof ManifestSchema>;

/** One uploaded version. */
export type Upload = { hash: string; manifest: Manifest; code: string };

/** SHA-256 over the manifest as it was understood and the module, in hexadecimal. */
export async function hashOf(manifest: Manifest, code: string): Promise<string> {
  return sha256Hex(`${JSON.stringify(manifest)}\n${code}`);
}
