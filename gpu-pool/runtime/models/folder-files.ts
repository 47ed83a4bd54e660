/** The files of a model's folder, and what tells that one has changed. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, readdir, readlink } from "node:fs/promises";
import { join, relative } from "node:path";
import { pipeline } from "node:stream/promises";

/** What Python, git and tools leave behind, and the pool's own notes. */
const IGNORED: ReadonlySet<string> = new Set([".git", ".venv", "__pycache__", "node_modules", ".cog", ".edgeplane"]);

/** A file as the disk has it; times in nanoseconds since 1970. */
export type FileState = { size: string; mtimeNs: string; ctimeNs: string; inode: string; link: string | null };

/** All files below `dir`, by their paths in it. A link is what it says, wherever it leads. */
export async function listFiles(dir: string): Promise<Map<string, FileState>> {
  const found = new Map<string, FileState>();
  await listBelow(dir, dir, found);
  return found;
}

async function listBelow(dir: string, root: string, found: Map<string, FileState>): Promise<void> {
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    if (IGNORED.has(entry.name) || entry.name.endsWith(".pyc")) continue;
    if (entry.isDirectory()) await listBelow(path, root, found).catch(unlessGone);
    else if (entry.isFile() || entry.isSymbolicLink()) {
      const state = await stateOf(path).catch(unlessGone);
      if (state !== undefined) found.set(relative(root, path), state);
    }
  }
}

/** A model that runs may delete what was just seen. */
function unlessGone(error: unknown): undefined {
  if (!(error instanceof Error) || !("code" in error) || error.code !== "ENOENT") throw error;
}

async function stateOf(path: string): Promise<FileState> {
  const stats = await lstat(path, { bigint: true });
  return {
    size: String(stats.size),
    mtimeNs: String(stats.mtimeNs),
    ctimeNs: String(stats.ctimeNs),
    inode: String(stats.ino),
    link: stats.isSymbolicLink() ? await readlink(path) : null,
  };
}

/** The SHA-256 of a file's content, as hexadecimal; undefined where it is gone. */
export async function hashFile(path: string): Promise<string | undefined> {
  const hash = createHash("sha256");
  return pipeline(createReadStream(path), hash).then(() => hash.digest("hex"), unlessGone);
}
