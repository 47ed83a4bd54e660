/**
 * What a model wants installed: the lines of its requirements, and the hash that names the environment that has them.
 */
import { createHash } from "node:crypto";
import { readFile, realpath } from "node:fs/promises";
import { dirname, join, resolve, sep } from "node:path";
import type { CogYaml } from "./cog-yaml.ts";
import { filesBehind, isArtifact, pathIn } from "./local-files.ts";
import { EnvironmentProblem } from "./problem.ts";

export type Requirements = {
  /** The lines to install; empty when the plain interpreter will do. */
  lines: string[];
  /** The folder that relative paths in the lines start from. */
  baseDir: string;
  /** Commands to run after the installation. */
  buildCommands: string[];
  /** SHA-256 over everything above and over the local files that the lines name. */
  hash: string;
};

/** The module that the pool brings itself: an installed one would only be shadowed. */
const ownPackage = /^(cog|coglet)\s*(\[.*\])?\s*([=<>!~;@].*)?$/i;

async function insideModel(modelDir: string, path: string): Promise<string> {
  const root = await realpath(modelDir);
  const full = await realpath(resolve(modelDir, path)).catch(() => {
    throw new EnvironmentProblem(`${path}: the file that cog.yaml or the requirements name does not exist`);
  });
  if (!full.startsWith(root + sep)) throw new EnvironmentProblem(`${path}: it lies outside the model's folder`);
  return full;
}

async function readLines(modelDir: string, path: string, seen: Set<string>): Promise<string[]> {
  const full = await insideModel(modelDir, path);
  if (seen.has(full)) return [];
  seen.add(full);
  const lines: string[] = [];
  const joined = (await readFile(full, "utf8")).replace(/\\\r?\n/g, " ");
  for (const raw of joined.split(/\r?\n/)) {
    const line = raw
      .replace(/(^|\s)#.*$/, "")
      .replace(/\s+/g, " ")
      .trim();
    const included = /^(?:-r|--requirement)[\s=]+(.+)$/.exec(line)?.[1];
    if (included !== undefined) lines.push(...(await readLines(modelDir, join(dirname(full), included), seen)));
    else if (line !== "") lines.push(line);
  }
  return lines;
}

/**
 * Read what a model wants installed. Throws EnvironmentProblem when files are missing or both kinds of list are given.
 */
export async function readRequirements(modelDir: string, cog: CogYaml): Promise<Requirements> {
  const { python_packages: packages, python_requirements: file, run } = cog.build;
  if (file && packages && packages.length > 0) {
    throw new EnvironmentProblem(
      "cog.yaml sets both build.python_packages and build.python_requirements; keep one of them",
    );
  }
  const all = file
    ? await readLines(modelDir, file, new Set())
    : (packages ?? []).map((line) => line.replace(/\s+/g, " ").trim());
  const lines = all.filter((line) => line !== "" && !ownPackage.test(line));
  const baseDir = file ? dirname(resolve(modelDir, file)) : modelDir;
  const buildCommands = run ?? [];
  const hash = createHash("sha256").update(JSON.stringify([lines, buildCommands]));
  for (const line of lines) {
    const path = pathIn(line);
    if (path === null) continue;
    // One that is a file by its name must be there, and in the folder.
    if (isArtifact(path)) await insideModel(modelDir, resolve(baseDir, path));
    for await (const { path: name, content } of filesBehind(modelDir, baseDir, path))
      hash.update(JSON.stringify([name, content.length])).update(content);
  }
  return { lines, baseDir, buildCommands: [...buildCommands], hash: hash.digest("hex") };
}
