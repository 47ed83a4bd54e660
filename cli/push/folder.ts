/** The files of a model's folder as they are pushed. Links that stay inside it are followed; others are refused. */
import { lstatSync, opendirSync, realpathSync, statSync } from "node:fs";
import type { BigIntStats } from "node:fs";
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { join, sep } from "node:path";
import { EXECUTABLE_MODE, MAX_BUNDLE_FILES, pathProblem, PLAIN_MODE } from "../../src/contract/bundle.ts";
import { CliError, exitCodes, messageOf } from "../errors.ts";
import type { Ignored } from "./ignored.ts";

const ANY_EXECUTE = 0o111n;
/** Stands in a name for bytes that are no UTF-8. */
const UNREADABLE = "\ufffd";

/** What tells that a file has changed; times in nanoseconds since 1970. */
export type FileState = { bytes: number; mtimeNs: string; ctimeNs: string; inode: string };
export type PushedFile = FileState & {
  /** In the folder, its parts divided by `/`. */
  path: string;
  /** On this machine. */
  file: string;
  mode: typeof PLAIN_MODE | typeof EXECUTABLE_MODE;
};

/**
 * In the order of paths (UTF-16 code units). Throws a `CliError` where the folder can't be a bundle.
 *
 * @param written Paths of files that the model itself wrote.
 */
export function listFolder(
  dir: string,
  ignored: Ignored,
  written: ReadonlySet<string>,
  maxFiles: number = MAX_BUNDLE_FILES,
): PushedFile[] {
  const root = realpathSync(dir);
  const found: PushedFile[] = [];
  const add = (path: string, file: string, stats: BigIntStats): void => {
    if (found.length === maxFiles) throw tooMany(found);
    const problem = pathProblem(path);
    if (problem !== null)
      throw new CliError(`${JSON.stringify(path)} ${problem}`, exitCodes.usage, "Rename it, or name it in .cogignore.");
    found.push({ path, file, mode: isExecutable(stats) ? EXECUTABLE_MODE : PLAIN_MODE, ...stateOf(stats) });
  };
  /** `above`: the real folders that it lies in, which a link may not lead back to. */
  const walk = (folder: string, prefix: string, above: readonly string[]): void => {
    for (const name of namesIn(folder)) {
      const [path, file] = [`${prefix}${name}`, join(folder, name)];
      const entry = lstatSync(file, { bigint: true, throwIfNoEntry: false });
      if (entry === undefined) {
        // The file went since it was listed, or its name is no UTF-8 and was read as another.
        if (!name.includes(UNREADABLE) || ignored.file(path) || ignored.folder(path)) continue;
        throw new CliError(`${JSON.stringify(path)} has a name that is no UTF-8`, exitCodes.usage, NAME_IT);
      }
      const isLink = entry.isSymbolicLink();
      if (isLink && ignored.file(path)) continue;
      const stats = isLink ? followed(root, path, file) : entry;
      if (stats.isDirectory()) {
        if (ignored.folder(path)) continue;
        const real = realpathSync(file);
        if (above.includes(real))
          throw new CliError(`${path} is a link to a folder that it lies in`, exitCodes.usage, NAME_IT);
        walk(file, `${path}/`, [...above, real]);
      } else if (!ignored.file(path) && !written.has(path)) {
        if (!stats.isFile()) throw new CliError(`${path} is neither a file nor a folder`, exitCodes.usage, NAME_IT);
        add(path, file, stats);
      }
    }
  };
  walk(root, "", [root]);
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

const NAME_IT = "Take it out, or name it in .cogignore.";

/** Opens it to be read. Throws where it isn't what was listed, or can't be read: the caller closes it. */
export async function openUnchanged(listed: PushedFile): Promise<FileHandle> {
  const handle = await open(listed.file, "r").catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") throw changed(listed.path);
    throw new CliError(`${listed.path} can't be read: ${messageOf(error)}`);
  });
  try {
    checkUnchanged(listed, await handle.stat({ bigint: true }));
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** The file as it is now; throws where it isn't what was listed. */
export function checkUnchanged(listed: PushedFile, now: BigIntStats): void {
  const state = stateOf(now);
  const isSame =
    state.bytes === listed.bytes &&
    state.mtimeNs === listed.mtimeNs &&
    state.ctimeNs === listed.ctimeNs &&
    state.inode === listed.inode;
  if (!isSame) throw changed(listed.path);
}

/** The same of each of them, by its name. */
export function checkAllUnchanged(files: readonly PushedFile[]): void {
  for (const listed of files) {
    const now = statSync(listed.file, { bigint: true, throwIfNoEntry: false });
    if (now === undefined) throw changed(listed.path);
    checkUnchanged(listed, now);
  }
}

export function changed(path: string): CliError {
  return new CliError(
    `${path} changed while it was pushed: nothing was registered`,
    exitCodes.failed,
    "Push again once nobody writes to the folder. What was sent already is not sent again.",
  );
}

export function stateOf(stats: BigIntStats): FileState {
  return {
    bytes: Number(stats.size),
    mtimeNs: String(stats.mtimeNs),
    ctimeNs: String(stats.ctimeNs),
    inode: String(stats.ino),
  };
}

function isExecutable({ mode }: BigIntStats): boolean {
  return (mode & ANY_EXECUTE) !== 0n;
}

function namesIn(folder: string): string[] {
  const opened = opendirSync(folder);
  try {
    const names: string[] = [];
    for (let entry = opened.readSync(); entry !== null; entry = opened.readSync()) names.push(entry.name);
    return names;
  } finally {
    opened.closeSync();
  }
}

function followed(root: string, path: string, file: string): BigIntStats {
  let target: string;
  try {
    target = realpathSync(file);
  } catch {
    throw new CliError(`${path} is a link that leads nowhere`, exitCodes.usage, NAME_IT);
  }
  if (target !== root && !target.startsWith(`${root}${sep}`))
    throw new CliError(
      `${path} is a link that leads out of the folder, to ${target}`,
      exitCodes.usage,
      "Put the file itself there, or name the link in .cogignore.",
    );
  return statSync(target, { bigint: true });
}

/** Names the folder that has the most of them. */
function tooMany(found: readonly PushedFile[]): CliError {
  const counts = new Map<string, number>();
  for (const { path } of found) {
    const top = path.includes("/") ? path.slice(0, path.indexOf("/") + 1) : "the folder itself";
    counts.set(top, (counts.get(top) ?? 0) + 1);
  }
  const [most = ""] = [...counts].sort(([, a], [, b]) => b - a).map(([top]) => top);
  return new CliError(
    `there are more than ${found.length.toLocaleString("en")} files, most of them in ${most}`,
    exitCodes.usage,
    "Name what the model doesn't need in .cogignore, or put many small files into one archive.",
  );
}
