/**
 * The version of a model's folder: SHA-256 over its author's files. What the model itself wrote does not count:
 *
 * - all that is there when a pool first sees the folder is the author's, and stays it, whoever changes it;
 * - what appears while a process of the model lives is the model's (by the file's ctime, which nobody can set);
 * - what appears at any other time is the author's, and so is a file of the model's that is changed then;
 * - a Python file beside the author's files is the author's, whenever it appears: it is code that will run.
 */
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { hashFile, listFiles } from "./folder-files.ts";
import type { FileState } from "./folder-files.ts";
import { notesDirOf, notesInside, readRecord, writeRecord } from "./folder-record.ts";
import type { FolderRecord } from "./folder-record.ts";
import { forgetLives, readLives } from "./model-lives.ts";
import type { Life } from "./model-lives.ts";

/** A file that was changed so shortly before it was hashed may change again and keep its times. */
const SETTLED_MS = 2000;
const NS_PER_MS = 1_000_000n;
const NS_PER_S = 1_000_000_000n;

/** `written`: the files that the model wrote, which don't count. `hashed`: how many had to be read. */
export type FolderVersion = { version: string; written: string[]; hashed: number; notesDir: string };

/** The version, noted so that the next start need not read what has not changed. `pool` is the id of the pool that asks. */
export async function readVersion(dir: string, stateDir: string, pool: string): Promise<FolderVersion> {
  const notesDir = await notesDirOf(dir, stateDir);
  const inside = notesInside(dir);
  const { before, record, hashed } = await takeStock(dir, notesDir === inside ? [inside] : [notesDir, inside]);
  await writeRecord(notesDir, record, before);
  forgetLives(notesDir, pool);
  return { version: versionFrom(record), written: record.written.map(({ path }) => path), hashed, notesDir };
}

/** The version as a pool would see it now. Writes nothing. */
export async function versionOf(dir: string): Promise<string> {
  const { record } = await takeStock(dir, [notesInside(dir)]);
  return versionFrom(record);
}

type Stock = { before: FolderRecord | null; record: FolderRecord; hashed: number };

/** In this order: what is listed had its life noted before, and its record written after. */
async function takeStock(dir: string, notesDirs: readonly string[]): Promise<Stock> {
  const states = await listFiles(dir);
  const lives = notesDirs.flatMap(readLives);
  let before: FolderRecord | null = null;
  for (const notesDir of notesDirs) before ??= await readRecord(notesDir);
  const known = new Map(before?.files.map((file) => [file.path, file]));
  const isWritten = writtenBy(before, lives);
  const record: FolderRecord = { format: 1, files: [], written: [] };
  let hashed = 0;
  for (const [path, state] of [...states].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const { size, mtimeNs, ctimeNs, inode, link } = state;
    if (isWritten(path, state)) {
      record.written.push({ path, size, mtimeNs });
      continue;
    }
    const file = known.get(path);
    const isSame = file?.size === size && file.mtimeNs === mtimeNs && file.ctimeNs === ctimeNs && file.inode === inode;
    if (isSame) record.files.push(file);
    else if (link !== null) record.files.push({ path, size, mtimeNs, ctimeNs, inode, content: `link ${link}` });
    else {
      hashed += 1;
      const isSettled = msOf(ctimeNs) < Date.now() - SETTLED_MS;
      const content = await hashFile(join(dir, path));
      record.files.push({ path, size, mtimeNs, ctimeNs: isSettled ? ctimeNs : "", inode, content });
    }
  }
  return { before, record, hashed };
}

function writtenBy(before: FolderRecord | null, lives: readonly Life[]): (path: string, state: FileState) => boolean {
  if (before === null) return () => false;
  const authors = new Set(before.files.map(({ path }) => path));
  const codeDirs = new Set(before.files.map(({ path }) => dirname(path)));
  const models = new Map(before.written.map((file) => [file.path, file]));
  return (path, { size, mtimeNs, ctimeNs }) => {
    if (authors.has(path) || (path.endsWith(".py") && codeDirs.has(dirname(path)))) return false;
    const noted = models.get(path);
    if (noted?.size === size && secondsOf(noted.mtimeNs) === secondsOf(mtimeNs)) return true;
    const changedAtMs = msOf(ctimeNs);
    return lives.some(({ fromMs, toMs }) => fromMs <= changedAtMs && changedAtMs <= toMs);
  };
}

/** SHA-256 over all files of the author: path, then content, in the order of paths. */
function versionFrom({ files }: FolderRecord): string {
  const hash = createHash("sha256");
  for (const { path, content } of files) {
    hash.update(`${path}\0`);
    hash.update(content.startsWith("link ") ? `${content}\0` : Buffer.from(content, "hex"));
  }
  return hash.digest("hex");
}

/** A copy may have lost the rest. */
function secondsOf(ns: string): bigint {
  return BigInt(ns) / NS_PER_S;
}

function msOf(ns: string): number {
  return Number(BigInt(ns) / NS_PER_MS);
}
