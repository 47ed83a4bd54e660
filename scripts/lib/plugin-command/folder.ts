/** A plugin's folder: `plugin.json` (the manifest), `plugin.ts` or `plugin.js`, and `cases.json`. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { build, stop } from "esbuild";
import * as z from "zod";
import { phases } from "../../../plugins/kernel/phases.ts";
import { hashOf, ManifestSchema, MAX_MODULE_BYTES } from "../../../src/sandbox/manifest.ts";
import type { Upload } from "../../../src/sandbox/manifest.ts";

/** Wrong use, or a folder that doesn't hold: told in a line, without a trace. */
export class PluginCommandError extends Error {}

export const CasesSchema = z.array(
  z.strictObject({
    name: z.string().min(1),
    phase: z.enum(phases),
    config: z.record(z.string(), z.json()).default({}),
    /** What differs from an ordinary subject of that phase. */
    subject: z.record(z.string(), z.json()).default({}),
    /** What the answer must hold; it may hold more. */
    expect: z.record(z.string(), z.json()),
  }),
);
export type Case = z.infer<typeof CasesSchema>[number];

/** Reads and bundles the plugin in `folder`. Throws `PluginCommandError`. */
export async function readPlugin(folder: string): Promise<Upload> {
  const manifest = readJson(join(folder, "plugin.json"), ManifestSchema);
  const entry = ["plugin.ts", "plugin.js"].map((file) => join(folder, file)).find(existsSync);
  if (entry === undefined) throw new PluginCommandError(`${folder} has neither plugin.ts nor plugin.js.`);
  const code = await bundle(folder, entry);
  const bytes = Buffer.byteLength(code);
  if (bytes > MAX_MODULE_BYTES)
    throw new PluginCommandError(`The module has ${bytes} bytes; ${MAX_MODULE_BYTES} may be.`);
  return { hash: await hashOf(manifest, code), manifest, code };
}

/** The cases of the folder; none where there is no `cases.json`. */
export function readCases(folder: string): Case[] {
  const file = join(folder, "cases.json");
  return existsSync(file) ? readJson(file, CasesSchema) : [];
}

function readJson<T extends z.ZodType>(file: string, schema: T): z.output<T> {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new PluginCommandError(`${file} can't be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new PluginCommandError(`${file} doesn't hold:\n${z.prettifyError(parsed.error)}`);
}

/** The module names its sources by where they lie in `folder`, wherever that is. */
async function bundle(folder: string, entry: string): Promise<string> {
  try {
    const built = await build({
      entryPoints: [entry],
      absWorkingDir: folder,
      bundle: true,
      write: false,
      format: "esm",
      target: "es2024",
      platform: "neutral",
      mainFields: ["browser", "module", "main"],
      conditions: ["workerd", "worker", "browser"],
      external: ["cloudflare:*"],
      logLevel: "silent",
    });
    return built.outputFiles[0]?.text ?? "";
  } catch (error) {
    throw new PluginCommandError(error instanceof Error ? error.message : String(error));
  } finally {
    await stop();
  }
}
