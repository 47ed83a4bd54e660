/**
 * The version of a model's folder: SHA-256 over its author's files. What the model itself wrote does not count:
 *
 * - all that is there when a pool first sees the folder is the author's, and stays it, whoever changes it;
 * - what appears while the model works, in `setup()` or in a prediction, is the model's (by the file's ctime, which
 *   nobody can set), and
 *   stays it as long as it is changed only while a process of the model lives;
 * - what appears at any other time is the author's; where a process lived, it is the model's as soon as it changes
 *   while the model works;
 * - a Python file beside the author's files is the author's, whenever it appears: it is code that will run.
 */
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { hashFile, listFiles } from "./folder-files.ts";
import type { FileState } from "./folder-files.ts";
import { notesDirOf, notesInside, readRecord, writeRecord } from "./folder-record.ts";
import type { FolderRecord } from "./folder-record.ts";
import { forgetLives, readLives } from "./model-lives.ts";
import type { Lives, Span } from "./model-lives.ts";

/** A file that was changed so shortly before it was hashed may change again and keep its times. */
const SETTLED_MS = 2000;
const NS_PER_MS = 1_000_000n;
const NS_PER_S = 1_000_000_000n;

/** `written`: the files that the model wrote, which don't count. `hashed`: how many had to be read. */
export type FolderVersion = { version: string; written: string[]; hashed: number; notesDir: string };

/**
 * The version, noted so that the next start need not read what has not changed. `pool` is the id of the pool that asks.
 */
export async function readVersion(dir: string, stateDir: string, pool: string): Promise<FolderVersion> {
  const notesDir = await notesDirOf(dir, stateDir);
  const inside = notesInside(dir);
  const { before, record, hashed } = await takeStock(dir, notesDir === inside ? [inside] : [notesDir, inside]);
  if (await writeRecord(notesDir, record, before)) forgetLives(notesDir, pool);
  return { version: versionFrom(record), written: record.written.map(({ path }) => path), hashed, notesDir };
}

/** The version as a pool would see it now. Writes nothing. */
export async function versionOf(dir: string): Promise<string> {
  const { record } = await takeStock(dir, [notesInside(dir)]);
  return versionFrom(record);
}

/** The files that the model wrote, as far as pools noted it. Reads no file, and writes nothing. */
export async function writtenIn(dir: string): Promise<string[]> {
  const states = await listFiles(dir);
  const notesDirs = [notesInside(dir)];
  const ownerOf = ownersBy(await recordIn(notesDirs), readLives(notesDirs));
  return [...states].filter(([path, state]) => ownerOf(path, state) === "model").map(([path]) => path);
}

async function recordIn(notesDirs: readonly string[]): Promise<FolderRecord | null> {
  let found: FolderRecord | null = null;
  for (const notesDir of notesDirs) found ??= await readRecord(notesDir);
  return found;
}

type Stock = { before: FolderRecord | null; record: FolderRecord; hashed: number };

/** In this order: what is listed had its life noted before, and its record written after. */
async function takeStock(dir: string, notesDirs: readonly string[]): Promise<Stock> {
  const states = await listFiles(dir);
  const lives = readLives(notesDirs);
  const before = await recordIn(notesDirs);
  const known = new Map(before?.files.map((file) => [file.path, file]));
  const ownerOf = ownersBy(before, lives);
  const record: FolderRecord = { format: 1, files: [], written: [] };
  let hashed = 0;
  for (const [path, state] of [...states].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const { size, mtimeNs, ctimeNs, inode, link } = state;
    const owner = ownerOf(path, state);
    if (owner === "model") {
      record.written.push({ path, size, mtimeNs });
      continue;
    }
    const file = known.get(path);
    const isSame = file?.size === size && file.mtimeNs === mtimeNs && file.ctimeNs === ctimeNs && file.inode === inode;
    const isDoubtful = owner === "doubtful";
    if (isSame) record.files.push({ ...file, isDoubtful });
    else if (link !== null)
      record.files.push({ path, size, mtimeNs, ctimeNs, inode, content: `link ${link}`, isDoubtful });
    else {
      hashed += 1;
      const isSettled = msOf(ctimeNs) < Date.now() - SETTLED_MS;
      const content = await hashFile(join(dir, path));
      // Somebody may delete it while other files are read, which takes minutes where they are large.
      if (content === undefined) continue;
      record.files.push({ path, size, mtimeNs, ctimeNs: isSettled ? ctimeNs : "", inode, content, isDoubtful });
    }
  }
  return { before, record, hashed };
}

type Owner = "author" | "doubtful" | "model";

function ownersBy(before: FolderRecord | null, lives: Lives): (path: string, state: FileState) => Owner {
  if (before === null) return () => "author";
  const authors = new Map(before.files.map((file) => [file.path, file]));
  const codeDirs = new Set(before.files.map(({ path }) => dirname(path)));
  const models = new Map(before.written.map((file) => [file.path, file]));
  return (path, state) => {
    const changedAtMs = msOf(state.ctimeNs);
    const file = authors.get(path);
    if (file?.isDoubtful === false || (path.endsWith(".py") && codeDirs.has(dirname(path)))) return "author";
    if (file !== undefined && isUnchanged(file, state)) return "doubtful";
    const written = models.get(path);
    const isModels = written !== undefined && (isUnchanged(written, state) || isWithin(lives.living, changedAtMs));
    if (isModels || isWithin(lives.working, changedAtMs)) return "model";
    return isWithin(lives.living, changedAtMs) ? "doubtful" : "author";
  };
}

function isWithin(spans: readonly Span[], atMs: number): boolean {
  return spans.some(({ fromMs, toMs }) => fromMs <= atMs && atMs <= toMs);
}

/** In whole seconds: a copy may have lost the rest. */
function isUnchanged(before: { size: string; mtimeNs: string }, { size, mtimeNs }: FileState): boolean {
  return before.size === size && BigInt(before.mtimeNs) / NS_PER_S === BigInt(mtimeNs) / NS_PER_S;
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

function msOf(ns: string): number {
  return Number(BigInt(ns) / NS_PER_MS);
}
