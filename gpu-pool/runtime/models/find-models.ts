/**
 * Finds the models of a folder: each subfolder with a `cog.yaml`, named after the folder, owner `local`. A folder that
 * can't be a model is named with the reason and stops none of the others.
 */
import { createHash } from "node:crypto";
import type { Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { access, readFile, readdir, readlink } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { ManifestSchema } from "../../../src/contract/manifest.ts";
import { declaredConcurrency } from "../environments/concurrency.ts";
import { parseCogYaml } from "./cog-yaml.ts";
import type { CogYaml } from "./cog-yaml.ts";
import type { Model } from "./model.ts";

const IGNORED: ReadonlySet<string> = new Set([".git", ".venv", "__pycache__", "node_modules", ".cog", ".edgeplane"]);

export type FoundModels = { models: Model[]; problems: { folder: string; problem: string }[] };

/**
 * Reads all models below `folder`, but for those that are off (`edgeplane.enabled: false`) and not in `enabled`. Throws when
 * the folder itself can't be read.
 */
export async function findModels(folder: string, enabled: readonly string[] = []): Promise<FoundModels> {
  const found: FoundModels = { models: [], problems: [] };
  const entries = await readdir(folder, { withFileTypes: true });
  for (const entry of entries.sort((a, b) => a.name.localeCompare(b.name))) {
    const dir = resolve(folder, entry.name);
    if (entry.name.startsWith(".") || !(await exists(join(dir, "cog.yaml")))) continue;
    try {
      const cog = parseCogYaml(await readFile(join(dir, "cog.yaml"), "utf8"));
      if (cog.edgeplane.enabled || enabled.includes(entry.name))
        found.models.push(await readModel(dir, entry.name, cog));
    } catch (error) {
      found.problems.push({ folder: entry.name, problem: error instanceof Error ? error.message : String(error) });
    }
  }
  return found;
}

async function readModel(dir: string, name: string, cog: CogYaml): Promise<Model> {
  const keys = cog.edgeplane;
  const manifest = ManifestSchema.safeParse({ ...keys, owner: "local", name, version: await versionOf(dir) });
  if (!manifest.success) {
    const [issue] = manifest.error.issues;
    const where = issue?.path[0] === "name" ? "the folder's name" : `cog.yaml, edgeplane.${issue?.path.join(".")}`;
    throw new Error(`${where}: ${issue?.message}`);
  }
  const { maxBatchSize, maxQueueDelayMs } = manifest.data;
  return {
    dir,
    cog,
    manifest: manifest.data,
    batching: { maxBatchSize, maxQueueDelayMs },
    slotsPerInstance: await declaredConcurrency(dir, cog),
    instances: keys.instances ?? null,
    usesGpu: cog.build.gpu ?? false,
  };
}

/** SHA-256 over all files of the folder: path, then content, in the order of paths. */
export async function versionOf(dir: string): Promise<string> {
  const hash = createHash("sha256");
  for (const path of (await filesBelow(dir, dir)).sort()) await addFile(hash, dir, path);
  return hash.digest("hex");
}

async function filesBelow(dir: string, root: string): Promise<string[]> {
  const paths: string[] = [];
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    if (IGNORED.has(entry.name) || entry.name.endsWith(".pyc")) continue;
    if (entry.isDirectory()) paths.push(...(await filesBelow(path, root)));
    else if (entry.isFile() || entry.isSymbolicLink()) paths.push(relative(root, path));
  }
  return paths;
}

async function addFile(hash: Hash, root: string, path: string): Promise<void> {
  const full = join(root, path);
  hash.update(`${path}\0`);
  const target = await readlink(full).catch(() => null);
  if (target !== null) {
    hash.update(`link ${target}\0`);
    return;
  }
  const content = createHash("sha256");
  await pipeline(createReadStream(full), content);
  hash.update(content.digest());
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
