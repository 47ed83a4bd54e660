/** The plugins of a model's folder: each `plugins/<name>/` with a `plugin.json`. Here their modules are built. */
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PLAIN_MODE } from "../../src/contract/bundle.ts";
import { CliError, exitCodes } from "../errors.ts";
import { stateOf } from "./folder.ts";
import type { PushedFile } from "./folder.ts";

const MANIFEST_FILE = /^plugins\/([^/]+)\/plugin\.json$/;
const SOURCES = ["plugin.ts", "plugin.js"];
/** One ES module, which stands for the sources and the packages that they import. */
const MODULE = "module.js";

export type WithPlugins = {
  /** The folder's files with the built modules, in the order of paths. */
  files: PushedFile[];
  names: string[];
  /** Forgets the built modules, once they were sent. */
  done(): void;
};

/** Builds the plugins among `files`. Throws a `CliError` for one that can't be. */
export async function withPlugins(dir: string, files: readonly PushedFile[]): Promise<WithPlugins> {
  const names = files.flatMap(({ path }) => MANIFEST_FILE.exec(path)?.[1] ?? []);
  if (names.length === 0) return { files: [...files], names, done: () => {} };
  const scratch = mkdtempSync(join(tmpdir(), "edgeplane-plugins-"));
  const done = (): void => rmSync(scratch, { recursive: true, force: true });
  try {
    const all = new Map(files.map((file) => [file.path, file]));
    for (const name of names) {
      const folder = `plugins/${name}`;
      if (!SOURCES.some((source) => all.has(`${folder}/${source}`))) {
        if (all.has(`${folder}/${MODULE}`)) continue;
        throw new CliError(
          `${folder} has neither plugin.ts nor plugin.js`,
          exitCodes.usage,
          "`edgeplane plugins init` writes one that works; what is no plugin needs another folder than plugins/.",
        );
      }
      const file = join(scratch, `${name}.js`);
      writeFileSync(file, await built(join(dir, folder), folder));
      const path = `${folder}/${MODULE}`;
      all.set(path, { path, file, mode: PLAIN_MODE, ...stateOf(statSync(file, { bigint: true })) });
    }
    return { files: [...all.values()].sort((a, b) => (a.path < b.path ? -1 : 1)), names, done };
  } catch (error) {
    done();
    throw error;
  }
}

async function built(folder: string, shown: string): Promise<string> {
  // Only who pushes plugins waits for esbuild.
  const { PluginCommandError, readPlugin } = await import("../../scripts/lib/plugin-command/folder.ts");
  try {
    return (await readPlugin(folder)).code;
  } catch (error) {
    if (!(error instanceof PluginCommandError)) throw error;
    throw new CliError(
      `${shown}: ${error.message}`,
      exitCodes.usage,
      "docs/push.md tells what a plugin of a model is.",
    );
  }
}
