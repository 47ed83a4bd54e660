/** What a model's folder says of itself before anything of it runs. */
import { resolve } from "node:path";
import type { Manifest } from "../../../src/contract/manifest.ts";
import type { CogYaml } from "../environments/cog-yaml.ts";
import { batchingOf } from "./configured.ts";
import { writtenIn } from "./folder-version.ts";
import { manifestOf, readKeys } from "./find-models.ts";

/** Stand for what only a push decides. */
const NOBODY = { owner: "local", name: "model", version: "0".repeat(64) };

export type Description = {
  cog: CogYaml;
  /** Without owner, name and version. */
  manifest: Omit<Manifest, "owner" | "name" | "version">;
  /** Paths of the files that the model itself wrote into its folder: they are no part of a version. */
  written: string[];
};

/** Throws an error that names the file and the key where the folder is no model. */
export async function describeFolder(folder: string): Promise<Description> {
  const dir = resolve(folder);
  const keys = await readKeys(dir);
  const { owner: _owner, name: _name, version: _version, ...manifest } = manifestOf(keys, NOBODY);
  batchingOf(keys.cog.edgeplane, keys.place);
  return { cog: keys.cog, manifest, written: await writtenIn(dir) };
}
