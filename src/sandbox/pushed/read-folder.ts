/**
 * The plugins among a pushed version's files: each folder `plugins/<name>/` with a `plugin.json`. What runs is its
 * `module.js`, one ES module; its settings are `config.json`. All of it is part of the version.
 */
import * as z from "zod";
import { screeningPhases } from "../../contract/attached-plugin.ts";
import type { AttachedPlugin } from "../../contract/attached-plugin.ts";
import type { Bundle, BundleFile } from "../../contract/bundle.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import { MAX_NESTING, nestsWithin } from "../../contract/nesting.ts";
import type { Json, ModelRef } from "../../contract/prediction.ts";
import { JsonSchema } from "../../contract/prediction.ts";
import { chunkKey } from "../../storage/chunks.ts";
import { hashOf, ManifestSchema, PluginNameSchema } from "../manifest.ts";
import type { PushedPolicy } from "./policy.ts";

const MANIFEST_FILE = /^plugins\/([^/]+)\/plugin\.json$/;
const MAX_MANIFEST_BYTES = 32_768;
const MAX_CONFIG_BYTES = 32_768;

/** A plugin that came with a version, as it is loaded. */
export type PushedPlugin = { attached: AttachedPlugin; code: string; config: Json };
/** The same as it is pushed, with what its manifest says of its settings and its neighbours. */
export type ReadPlugin = PushedPlugin & { manifest: z.output<typeof PushedManifestSchema> };

const PushedManifestSchema = ManifestSchema.extend({
  phases: z
    .array(z.enum(screeningPhases, "plugins of a pushed model screen: screenInput, screenOutput"))
    .min(1)
    .transform((phases) => [...new Set(phases)]),
  network: z.array(z.never("plugins of a pushed model have no network")).default([]),
});

/** The names of the folders that are plugins. */
export function pluginFolders({ files }: Bundle): string[] {
  return files.flatMap(({ path }) => MANIFEST_FILE.exec(path)?.[1] ?? []);
}

/** Reads one of them. Throws `plugin_invalid` with what is wrong with it, and in which file. */
export async function readPlugin(
  bucket: R2Bucket,
  { owner }: Pick<ModelRef, "owner">,
  { files }: Bundle,
  folder: string,
  policy: PushedPolicy,
): Promise<ReadPlugin> {
  const name = PluginNameSchema.safeParse(folder);
  if (!name.success) throw invalid(`plugins/${folder}`, `can't be a plugin's name: ${z.prettifyError(name.error)}`);
  const read = async (file: string, maxBytes: number): Promise<{ text: string; chunk: string } | null> => {
    const path = `plugins/${folder}/${file}`;
    const found = files.find((one) => one.path === path);
    return found === undefined ? null : readFile(bucket, owner, found, maxBytes);
  };
  const said = await read("plugin.json", MAX_MANIFEST_BYTES);
  const manifest = parsed(`plugins/${folder}/plugin.json`, said?.text ?? "", PushedManifestSchema);
  if (manifest.name !== folder)
    throw invalid(`plugins/${folder}/plugin.json`, `names it "${manifest.name}", and its folder "${folder}"`);
  const module = await read("module.js", policy.module_bytes);
  if (module === null)
    throw invalid(`plugins/${folder}/module.js`, "is not there: `edgeplane push` makes it of plugin.ts or plugin.js");
  const config = await read("config.json", MAX_CONFIG_BYTES);
  const { phases, judges, fail_mode, timeout_ms, cpu_ms } = manifest;
  const hash = await hashOf(manifest, module.text);
  const attached = { name: folder, phases, judges, fail_mode, timeout_ms, cpu_ms, hash, module: module.chunk };
  return {
    attached: { ...attached, config: config?.chunk ?? null },
    code: module.text,
    config: config === null ? {} : parsed(`plugins/${folder}/config.json`, config.text, JsonSchema),
    manifest,
  };
}

/** What a plugin of a version that is registered is loaded from; null: its files are gone. */
export async function loadPlugin(
  bucket: R2Bucket,
  owner: string,
  attached: AttachedPlugin,
): Promise<PushedPlugin | null> {
  const { module, config } = attached;
  const [code, settings] = await Promise.all([
    textOf(bucket, owner, module),
    config === null ? "{}" : textOf(bucket, owner, config),
  ]);
  if (code === null || settings === null) return null;
  return { attached, code, config: JsonSchema.parse(JSON.parse(settings)) };
}

async function readFile(
  bucket: R2Bucket,
  owner: string,
  { path, bytes, chunks }: BundleFile,
  maxBytes: number,
): Promise<{ text: string; chunk: string }> {
  const [chunk] = chunks;
  if (chunk === undefined) throw invalid(path, "is empty");
  if (bytes > maxBytes) throw invalid(path, `has ${bytes} bytes; ${maxBytes} may be`);
  const text = await textOf(bucket, owner, chunk);
  if (text !== null) return { text, chunk };
  throw new EdgeplaneError("bundle_incomplete", `Chunks that the files need are not here: ${chunk}.`);
}

async function textOf(bucket: R2Bucket, owner: string, chunk: string): Promise<string | null> {
  const object = await bucket.get(chunkKey(owner, chunk));
  return object === null ? null : object.text();
}

function parsed<T extends z.ZodType>(path: string, text: string, schema: T): z.output<T> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw invalid(path, `is no JSON: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
  if (!nestsWithin(value, MAX_NESTING)) throw invalid(path, `nests deeper than ${MAX_NESTING} levels`);
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw invalid(path, `doesn't hold:\n${z.prettifyError(result.error)}`);
}

function invalid(path: string, problem: string): EdgeplaneError {
  return new EdgeplaneError("plugin_invalid", `${path} ${problem}`);
}
