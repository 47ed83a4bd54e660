/** What an interpreter needs of the host: its file, the links that lead to it, and the folders of its library. */
import { existsSync, lstatSync, readlinkSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import * as z from "zod";
import { runCommand } from "../environments/command.ts";
import { isWithin } from "../../transport/confined-file.ts";
import { realpathOf } from "./view.ts";

const PrefixesSchema = z.array(z.string());
const CODE =
  "import json, sys; print(json.dumps([sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix]))";
const TIMEOUT_MS = 10_000;
const MAX_LINKS = 40;

/**
 * Of a virtual environment, its folder and what its own interpreter needs. It isn't asked: its packages would run.
 * Empty where the interpreter doesn't answer: its model then fails to start, and says why.
 */
export async function interpreterPaths(python: string): Promise<string[]> {
  const folder = dirname(dirname(python));
  if (existsSync(join(folder, "pyvenv.cfg")))
    return [...new Set([folder, ...linksFrom(folder, python), ...(await interpreterPaths(realpathOf(python)))])];
  const { code, stdout } = await runCommand(python, ["-I", "-c", CODE], { timeoutMs: TIMEOUT_MS });
  const prefixes = code === 0 ? PrefixesSchema.parse(JSON.parse(stdout)) : [];
  return [...new Set([...prefixes, ...linksTo(python)])];
}

/** Those that lead out of the folder: a link within it comes with it, and can't be mounted over. */
function linksFrom(folder: string, path: string): string[] {
  return linksTo(path).filter((link) => !isWithin(folder, link));
}

function linksTo(path: string): string[] {
  const links = [path];
  try {
    for (let at = path; links.length < MAX_LINKS && lstatSync(at).isSymbolicLink();) {
      at = resolve(dirname(at), readlinkSync(at));
      links.push(at);
    }
  } catch {
    // It leads nowhere: so it does for the process.
  }
  return links;
}
