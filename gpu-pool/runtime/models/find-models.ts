/**
 * Finds the models of a folder: each subfolder with a `cog.yaml`, named after the folder, owner `local`. A folder that
 * can't be a model is named with the reason and stops none of the others.
 */
import { access, mkdir, readFile, readdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { MAX_POOL_MODELS } from "../../../src/contract/channel.ts";
import { ManifestSchema } from "../../../src/contract/manifest.ts";
import type { Manifest } from "../../../src/contract/manifest.ts";
import { declaredConcurrency } from "../environments/concurrency.ts";
import type { CogYaml } from "../environments/cog-yaml.ts";
import { parseCogYaml, parseWithEdgeplaneYaml } from "./cog-yaml.ts";
import { configurationOf, NOTHING_SAID } from "./configurations.ts";
import type { Configurations } from "./configurations.ts";
import { notesInside } from "./folder-record.ts";
import { configured, configuredIfFits } from "./configured.ts";
import { readVersion } from "./folder-version.ts";
import type { Model } from "./model.ts";

/** Of the models of a folder. */
const OWNER = "local";
const EDGEPLANE_YAML = "edgeplane.yaml";

type ModelId = Pick<Manifest, "owner" | "name" | "version">;
export type FoundModels = { models: Model[]; problems: { folder: string; problem: string }[] };

/** Whose start it is, and where that pool may keep notes on a folder that can't be written to. */
export type Finder = { id: string; stateDir: string };

/**
 * Reads all models below `folder`, but for those that are off (`edgeplane.enabled: false`) and not in `enabled`. Throws
 * when the folder itself can't be read. What `configurations` answers, by `owner/name`, holds in place of the files'
 * keys.
 */
export async function findModels(
  folder: string,
  enabled: readonly string[],
  finder: Finder,
  configurations: () => Promise<Configurations> = () => Promise.resolve(NOTHING_SAID),
): Promise<FoundModels> {
  const found: FoundModels = { models: [], problems: [] };
  const entries = await readdir(folder, { withFileTypes: true });
  const said = await configurations();
  for (const entry of entries.sort((a, b) => a.name.localeCompare(b.name))) {
    const dir = resolve(folder, entry.name);
    if (entry.name.startsWith(".") || !(await exists(join(dir, "cog.yaml")))) continue;
    if (found.models.length === MAX_POOL_MODELS) {
      const problem = `a pool offers ${MAX_POOL_MODELS} versions at most, and those of other folders are as many`;
      found.problems.push({ folder: entry.name, problem });
      continue;
    }
    try {
      const { cog, place } = await readKeys(dir);
      if (!cog.edgeplane.enabled && !enabled.includes(entry.name)) continue;
      found.models.push(await readModel(dir, entry.name, { cog, place }, finder, said));
    } catch (error) {
      found.problems.push({ folder: entry.name, problem: error instanceof Error ? error.message : String(error) });
    }
  }
  return found;
}

/** `place`: where its keys stand, for errors. */
export type FolderKeys = { cog: CogYaml; place: string };

/** What a model's folder says of it. Throws an error that names the file, and the line or the field. */
export async function readKeys(dir: string): Promise<FolderKeys> {
  const own = await readFile(join(dir, EDGEPLANE_YAML), "utf8").catch(unlessMissing);
  const text = await readFile(join(dir, "cog.yaml"), "utf8");
  if (own === null) return { cog: parseCogYaml(text), place: "cog.yaml, edgeplane." };
  return { cog: parseWithEdgeplaneYaml(text, own), place: "edgeplane.yaml, " };
}

/** Throws an error that names the key. */
export function manifestOf({ cog: { edgeplane: keys }, place }: FolderKeys, id: ModelId): Manifest {
  const manifest = ManifestSchema.safeParse({ ...keys, ...id, minInstances: keys.pinned ? 1 : 0 });
  if (manifest.success) return manifest.data;
  const [issue] = manifest.error.issues;
  const where = issue?.path[0] === "name" ? "the folder's name" : `${place}${issue?.path.join(".")}`;
  throw new Error(`${where}: ${issue?.message}`);
}

async function readModel(
  dir: string,
  name: string,
  files: FolderKeys,
  finder: Finder,
  said: Configurations,
): Promise<Model> {
  if (files.cog.edgeplane.weights.length > 0)
    throw new Error(`${files.place}weights: pools fetch them for pushed models; put the files into this folder`);
  const { version, written, notesDir } = await readVersion(dir, finder.stateDir, finder.id);
  const id = { owner: OWNER, name, version };
  return {
    dir,
    notesDir,
    written,
    files,
    manifest: manifestOf(files, id),
    ...configuredIfFits(files, configurationOf(said, id)),
    ...(await traitsOf(dir, files)),
  };
}

/**
 * A model that was pushed, from the folder that it was unpacked into. `said` is what the edge says of it: whose it is,
 * and its version. Throws where its files say what can't be.
 */
export async function readPushed(dir: string, said: Manifest): Promise<Model> {
  const files = await readKeys(dir);
  const minInstances = files.cog.edgeplane.pinned ? 1 : 0;
  const notesDir = notesInside(dir);
  await mkdir(notesDir, { recursive: true });
  return {
    dir,
    notesDir,
    written: [],
    files,
    manifest: { ...said, minInstances },
    ...configured(files, {}),
    ...(await traitsOf(dir, files)),
  };
}

async function traitsOf(
  dir: string,
  { cog }: FolderKeys,
): Promise<Pick<Model, "cost" | "slotsPerInstance" | "usesGpu">> {
  return {
    cost: cog.edgeplane.cost ?? null,
    slotsPerInstance: await declaredConcurrency(dir, cog),
    usesGpu: cog.build.gpu ?? false,
  };
}

function unlessMissing(error: unknown): null {
  if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
  throw error;
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
