/**
 * What settings of pip and uv reach on this host: constraints, folders of packages (`find-links`), indexes on a disk.
 * Two hosts whose settings are the same and whose files differ install other packages, so that what lies there belongs
 * to an environment's name.
 *
 * Sources: pip's documentation, "Configuration", "Requirements File Format" and `pip install`, `--find-links`; uv's,
 * "Settings" and "Environment variables".
 */
import { lstat, readdir, readFile, realpath, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { setImmediate } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { isWithin } from "../../transport/confined-file.ts";
import { HashedFiles } from "./hashed-files.ts";
import type { FileState } from "./hashed-files.ts";
import { pathIn } from "./local-files.ts";

/** Settings whose values are paths or addresses, several of them by spaces, commas or lines. */
const NAMING_PATHS =
  /^(?:find-links|constraint|constraints|build-constraint|build-constraints|override|overrides|requirement|(?:extra-|default-)?index(?:-url)?|url)$/;
const OPTION = /^(?:-i|--index-url|--extra-index-url)(?:\s+|=)(\S+)/;
const LISTS = /\.(?:txt|in)$/;
const ADDRESS = /\b(?!file:)[a-z][a-z0-9+.-]*:\/\/[^\s"',]*/gi;
const REMOTE = /^[a-z][a-z0-9+.-]*:\/\//i;
/** More is not read to tell two hosts apart: reading it takes about as long as installing it. */
const MOST_FILES = 5000;
const MOST_BYTES = 4 * 1024 ** 3;
/** Of a file of settings, or of a list: what is searched for paths, on the thread that keeps the pool's leases. */
const MOST_TEXT_BYTES = 1024 * 1024;
const MOST_LINE_CHARS = 4096;
/** Lines are searched so many at a time. */
const LINES_AT_ONCE = 64;

/** Two hosts can't be compared; the message says why. */
export class NotComparable extends Error {
  override readonly name = "NotComparable";
}

const hashed = new HashedFiles();

/**
 * Paths as they were written, and where they may start from. A relative one of a file of settings starts from its
 * folder or from where the tool runs, as the tool likes: what lies at either is reached.
 */
type Named = { path: string; from: readonly string[]; within?: string | null };

export class ReachedFiles {
  readonly #found = new Map<string, string>();
  #bytes = 0;

  /** What was reached, wherever it lies: the same on two hosts where it is the same. Throws `NotComparable`. */
  contents(): string[] {
    return [...this.#found.values()].filter((content) => content !== "").toSorted();
  }

  /** What a setting of the environment, such as `PIP_FIND_LINKS`, leads to. */
  async addSetting(name: string, value: string, cwd: string): Promise<void> {
    const key = name
      .replace(/^(?:PIP|UV)_/, "")
      .toLowerCase()
      .replaceAll("_", "-");
    if (!NAMING_PATHS.test(key)) return;
    // uv's lists are by commas alone, so that a path of it may hold spaces.
    const whole = name.startsWith("UV_") ? value.split(",").map((path) => path.trim()) : [];
    const paths = new Set([...pathsIn(value), ...whole.filter(isOnDisk)]);
    for (const path of paths) await this.#add({ path, from: [cwd] });
  }

  /** What a file of settings leads to: pip.conf or uv.toml. `within` as of lines of requirements. */
  async addConfiguration(text: string, file: string, cwd: string, within: string | null): Promise<void> {
    for (const path of await configuredPaths(text, file)) await this.#add({ path, from: [dirname(file), cwd], within });
  }

  /** A file of settings, or a list; empty where there is none. Throws `NotComparable` for a very long one. */
  async textOf(path: string, within: string | null): Promise<string> {
    await refuseOutside(path, within, path);
    const stats = await stat(path).catch(() => null);
    if (stats?.isFile() !== true) return "";
    if (stats.size > MOST_TEXT_BYTES)
      throw new NotComparable(`${path} has more than ${MOST_TEXT_BYTES} bytes, too many to search for paths`);
    return readFile(path, "utf8").catch(() => "");
  }

  /**
   * What lines of requirements lead to, from the folder that they start from. `within`: of the model, whose author the
   * pool reads nothing else for.
   */
  async addLines(lines: readonly string[], cwd: string, within: string | null): Promise<void> {
    for (const line of lines) {
      const path = pathIn(line) ?? OPTION.exec(line)?.[1] ?? null;
      if (path !== null && isOnDisk(path)) await this.#add({ path, from: [cwd], within });
    }
  }

  async #add({ path, from, within = null }: Named): Promise<void> {
    const local = withoutFile(path).replace(/^~(?=\/)/, homedir());
    for (const full of new Set(from.map((folder) => resolve(folder, local)))) {
      if (this.#found.has(full)) continue;
      this.#found.set(full, "");
      const real = await refuseOutside(full, within, `${path}, which the requirements or settings name,`);
      this.#found.set(full, await this.#contentOf(real, within));
    }
  }

  /** Empty where nothing is: the tool says so itself, or does without. */
  async #contentOf(full: string, within: string | null): Promise<string> {
    const stats = await stat(full).catch(() => null);
    if (stats?.isDirectory() === true) return this.#folder(full, within === null ? stat : lstat);
    if (stats?.isFile() !== true) return "";
    if (LISTS.test(full)) {
      const text = await this.textOf(full, null);
      await this.addLines(text.split(/\r?\n/).map(includedPath), dirname(full), within);
      return text;
    }
    return this.#hash(full, stats);
  }

  /** `look`: what follows links, or doesn't. */
  async #folder(folder: string, look: typeof stat): Promise<string> {
    const files: (FileState & { path: string })[] = [];
    const visit = async (dir: string): Promise<void> => {
      for (const { name } of await readdir(dir, { withFileTypes: true })) {
        const path = join(dir, name);
        const stats = await look(path).catch(() => null);
        if (stats?.isDirectory() === true) await visit(path);
        else if (stats?.isFile() === true)
          files.push({ path, size: stats.size, mtimeMs: stats.mtimeMs, ino: stats.ino });
        if (files.length > MOST_FILES)
          throw new NotComparable(`${folder} has more than ${MOST_FILES} files, too many to compare with other hosts'`);
      }
    };
    await visit(folder);
    const parts: string[] = [];
    for (const file of files) parts.push(`${relative(folder, file.path)} ${await this.#hash(file.path, file)}`);
    return parts.toSorted().join("\n");
  }

  async #hash(path: string, state: FileState): Promise<string> {
    this.#bytes += state.size;
    if (this.#bytes > MOST_BYTES)
      throw new NotComparable(
        `${path} and others have over ${MOST_BYTES} bytes, too many to compare with other hosts'`,
      );
    return hashed.sha256(path, state);
  }
}

/** Where a path really lies. Throws `NotComparable` where that is not in the folder. */
async function refuseOutside(path: string, within: string | null, called: string): Promise<string> {
  const real = await realpath(path).catch(() => null);
  const isInside =
    within === null || (real === null ? isWithin(resolve(within), path) : isWithin(await realpath(within), real));
  if (!isInside) throw new NotComparable(`${called} lies outside of the model's folder`);
  return real ?? path;
}

/** `-r other.txt` of a list is reached as a list of constraints is. */
const includedPath = (line: string): string => line.replace(/^(?:-r|--requirement)[\s=]+/, "-c ").trim();

/** `file:///srv/wheels` as a path; anything else as it is. */
function withoutFile(path: string): string {
  if (!path.startsWith("file:")) return path;
  try {
    return fileURLToPath(path.startsWith("file://") ? path : path.replace(/^file:/, "file://"));
  } catch {
    return path.replace(/^file:(?:\/\/)?/, "");
  }
}

/** Those that are on a disk. An index of uv may be written behind its name: `name=address`. */
function pathsIn(value: string): string[] {
  return value
    .split(/[\s,"'[\]{}]+/)
    .map((word) => word.replace(/^[\w-]+=(?=.)/, ""))
    .filter(isOnDisk);
}

const isOnDisk = (path: string): boolean => path !== "" && !REMOTE.test(withoutFile(path));

/** Values of pip.conf and of uv.toml alike: behind a key, in its line and in those below that no key begins. */
async function configuredPaths(text: string, file: string): Promise<string[]> {
  const paths: string[] = [];
  let isNaming = false;
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    // The patterns below take time by the square of a line's length.
    if (raw.length > MOST_LINE_CHARS)
      throw new NotComparable(`${file} has a line of over ${MOST_LINE_CHARS} characters, too long to search for paths`);
    if (index % LINES_AT_ONCE === 0) await setImmediate();
    const line = raw.replace(/(^|\s)[#;].*$/, "").replaceAll(ADDRESS, "");
    for (const [, key = "", value = ""] of line.matchAll(/([\w-]+)\s*[=:](?!\/\/)\s*([^,}]*)/g)) {
      isNaming = NAMING_PATHS.test(key.replaceAll("_", "-"));
      if (isNaming) paths.push(...pathsIn(value));
    }
    if (/^\s*\[[\w."[\]-]*\]\s*$/.test(line)) isNaming = false;
    else if (isNaming && !/[\w-]\s*[=:](?!\/\/)/.test(line)) paths.push(...pathsIn(line));
  }
  return paths;
}
