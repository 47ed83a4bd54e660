/**
 * Which files of a model's folder its requirements name: wheels and archives, folders of packages, lists of
 * constraints. Source: pip's documentation, "Requirements File Format".
 */
import { readFile, readdir, realpath, stat } from "node:fs/promises";
import { join, resolve, sep } from "node:path";

const ARTIFACT = /\.(whl|zip|tar\.gz|tgz|tar\.bz2|tar\.xz)$/;
/** Options whose value is a path, and one written behind a name, as in `name @ file:./name.whl`. */
const NAMED = /^(?:-c|--constraint|-e|--editable|-f|--find-links)(?:\s+|=|(?=\S))(.+)$|\s@\s+(.+)$/;
/** What tools leave behind says nothing of what is installed. */
const IGNORED: ReadonlySet<string> = new Set([".git", ".venv", "__pycache__", "node_modules", ".cog", ".edgeplane"]);

/** A wheel or an archive, by its name. */
export function isArtifact(path: string): boolean {
  return ARTIFACT.test(path);
}

/** The path that a line names, as it is written there; null when it names a package of a registry, or a URL. */
export function pathIn(line: string): string | null {
  const [, ofOption, ofName] = NAMED.exec(line) ?? [];
  const isPath = /^\.{0,2}\//.test(line) || line === "." || line === ".." || ARTIFACT.test(line);
  const named = ofOption ?? ofName ?? (isPath || line.startsWith("file:") ? line : null);
  if (named === null) return null;
  const [written = ""] = named.split(/;|\s#|\s--/);
  const path = written
    .replace(/^file:(\/\/)?/, "")
    .replace(/#.*$/, "")
    .trimEnd()
    .replace(/\[[^\][]*\]$/, "")
    .trim();
  return path === "" || path.includes("://") || /^(git|hg|svn|bzr)\+/.test(path) ? null : path;
}

/**
 * The files behind a path that a line names, in order, each with its content. Nothing for one outside the model's
 * folder, or that isn't there: pip says what is wrong with it.
 */
export async function* filesBehind(
  modelDir: string,
  baseDir: string,
  path: string,
): AsyncGenerator<{ path: string; content: Buffer }> {
  const root = await realpath(modelDir);
  const full = await realpath(resolve(baseDir, path)).catch(() => null);
  if (full === null || (full !== root && !full.startsWith(root + sep))) return;
  yield* filesBelow(full, path);
}

async function* filesBelow(full: string, path: string): AsyncGenerator<{ path: string; content: Buffer }> {
  const stats = await stat(full);
  if (stats.isFile()) yield { path, content: await readFile(full) };
  if (!stats.isDirectory()) return;
  const entries = await readdir(full, { withFileTypes: true });
  for (const entry of entries.sort((one, other) => (one.name < other.name ? -1 : 1))) {
    // A link may lead round in a circle, or out.
    if (IGNORED.has(entry.name) || entry.isSymbolicLink()) continue;
    yield* filesBelow(join(full, entry.name), `${path}/${entry.name}`);
  }
}
