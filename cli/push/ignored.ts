/**
 * What of a model's folder is not pushed: what `.cogignore` names (as a `.gitignore` would) and `.dockerignore` (as
 * Docker reads it), what Python, git and tools leave behind, and the notes of pools. `cog.yaml` and `edgeplane.yaml`
 * are always pushed: without them the folder is no model.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import ignore from "ignore";

const GIT_STYLE = ".cogignore";
const DOCKER_STYLE = ".dockerignore";
const ALWAYS: ReadonlySet<string> = new Set(["cog.yaml", "edgeplane.yaml"]);
/** As a pool passes over them. The last two only say what is packed. */
const NEVER: ReadonlySet<string> = new Set([
  ".git",
  ".venv",
  "__pycache__",
  "node_modules",
  ".cog",
  ".DS_Store",
  GIT_STYLE,
  DOCKER_STYLE,
]);

/** By a path in the folder, its parts divided by `/`. */
export type Ignored = {
  file(path: string): boolean;
  /** True only where nothing below it can be wanted. */
  folder(path: string): boolean;
};

/** Reads both files of `dir`; one that is not there says nothing. */
export function readIgnored(dir: string): Ignored {
  return ignoredBy(textOf(join(dir, GIT_STYLE)), textOf(join(dir, DOCKER_STYLE)));
}

export function ignoredBy(gitStyle: string, dockerStyle: string): Ignored {
  const git = ignore({ ignorecase: false }).add(gitStyle);
  const docker = dockerRules(dockerStyle);
  const isNever = (path: string): boolean => {
    const name = path.slice(path.lastIndexOf("/") + 1);
    return NEVER.has(name) || name.startsWith(".edgeplane") || name.endsWith(".pyc");
  };
  return {
    file: (path) => !ALWAYS.has(path) && (isNever(path) || git.ignores(path) || docker.ignores(path)),
    folder: (path) => isNever(path) || git.ignores(`${path}/`) || (!docker.hasExceptions && docker.ignores(path)),
  };
}

/**
 * Docker's rules: a pattern is about the path from the top, or a folder above it; the last that matches wins, also
 * below a folder that an earlier one took out. Source: docs.docker.com, "dockerignore files".
 */
function dockerRules(text: string): { ignores(path: string): boolean; hasExceptions: boolean } {
  const rules = text.split(/\r?\n/).flatMap((line) => {
    const said = line.trim();
    if (said === "" || said.startsWith("#")) return [];
    const isException = said.startsWith("!");
    const pattern = said
      .slice(isException ? 1 : 0)
      .trim()
      .replace(/^(\.?\/)+/, "")
      .replace(/\/+$/, "");
    if (pattern === "" || pattern === ".") return [];
    return [{ isException, matcher: ignore({ ignorecase: false }).add(`/${pattern}`) }];
  });
  return {
    hasExceptions: rules.some(({ isException }) => isException),
    ignores: (path) => rules.findLast(({ matcher }) => matcher.ignores(path))?.isException === false,
  };
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return "";
    throw error;
  }
}
