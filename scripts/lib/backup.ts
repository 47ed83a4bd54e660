/**
 * Copies the state folder of an edge while it runs, and puts a copy back. SQLite's online backup copies each database,
 * so that every copy is whole. Between two of them some milliseconds pass, as between what a power cut leaves: objects
 * tell each other again what the copy of one lacks. Blobs come last: a row names only what was there before it.
 */
import { constants } from "node:fs";
import { copyFile, cp, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { backup, DatabaseSync } from "node:sqlite";
import * as z from "zod";
import { StackError } from "./stack-error.ts";

const FORMAT = 1;
const MANIFEST = "backup.json";
const SECRETS = "secrets.json";
/** Below the state folder. */
const DATABASES = "edge";
const BLOBS = join("edge", "blobs");

const ManifestSchema = z.object({
  format: z.literal(FORMAT, `made by another version: this one reads format ${FORMAT}`),
  created_at: z.iso.datetime(),
  databases: z.array(z.string()),
  blobs: z.number().int(),
  bytes: z.number(),
});
export type BackupManifest = z.infer<typeof ManifestSchema>;

/** Writes `target`, which must not be there. `onProgress` hears of each part. */
export async function createBackup(
  stateDir: string,
  target: string,
  onProgress: (line: string) => void,
): Promise<BackupManifest> {
  if (!(await exists(join(stateDir, SECRETS))))
    throw new StackError(`${stateDir} is no state folder: it has no ${SECRETS}.`);
  if (await exists(target)) throw new StackError(`${target} is there already; name a folder that isn't.`);
  const draft = `${target}.partial`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { recursive: true, mode: 0o700 });
  const databases = await filesOf(join(stateDir, DATABASES), (path) => path.endsWith(".sqlite"));
  let bytes = 0;
  for (const [index, path] of databases.entries()) {
    bytes += await copyDatabase(join(stateDir, DATABASES, path), join(draft, DATABASES, path));
    onProgress(`databases: ${index + 1} of ${databases.length}`);
  }
  const blobs = await copyBlobs(join(stateDir, BLOBS), join(draft, BLOBS), onProgress);
  await copyFile(join(stateDir, SECRETS), join(draft, SECRETS));
  const manifest = {
    format: FORMAT,
    created_at: new Date().toISOString(),
    databases,
    blobs: blobs.count,
    bytes: bytes + blobs.bytes,
  } as const;
  await writeFile(join(draft, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
  await rename(draft, target);
  return manifest;
}

/** Checks a backup and makes `stateDir`, which must not be there or be empty, from it. */
export async function restoreBackup(source: string, stateDir: string): Promise<BackupManifest> {
  const manifest = await readManifest(source);
  if ((await readdir(stateDir).catch(() => [])).length > 0)
    throw new StackError(`${stateDir} is not empty: move it away, or name another with EDGEPLANE_STATE_DIR.`);
  for (const path of [SECRETS, ...manifest.databases.map((name) => join(DATABASES, name))])
    if (!(await exists(join(source, path)))) throw new StackError(`${source} is damaged: ${path} is missing.`);
  for (const path of manifest.databases) checkDatabase(join(source, DATABASES, path));
  const { length: blobs } = await filesOf(join(source, BLOBS), () => true);
  if (blobs < manifest.blobs)
    throw new StackError(`${source} is damaged: it has ${blobs} of its ${manifest.blobs} blobs.`);
  await mkdir(dirname(stateDir), { recursive: true });
  const draft = `${stateDir}.partial`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { mode: 0o700 });
  for (const name of [DATABASES, SECRETS])
    await cp(join(source, name), join(draft, name), { recursive: true, mode: constants.COPYFILE_FICLONE });
  await rm(stateDir, { recursive: true, force: true });
  await rename(draft, stateDir);
  return manifest;
}

async function readManifest(source: string): Promise<BackupManifest> {
  const text = await readFile(join(source, MANIFEST), "utf8").catch(() => null);
  if (text === null) throw new StackError(`${source} is no backup: it has no ${MANIFEST}.`);
  const parsed = ManifestSchema.safeParse(JSON.parse(text));
  if (!parsed.success) throw new StackError(`${source}: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

/** The copy's size in bytes. */
async function copyDatabase(from: string, to: string): Promise<number> {
  await mkdir(dirname(to), { recursive: true });
  const database = new DatabaseSync(from, { readOnly: true });
  try {
    await backup(database, to);
  } finally {
    database.close();
  }
  checkDatabase(to);
  return (await stat(to)).size;
}

function checkDatabase(path: string): void {
  const database = new DatabaseSync(path);
  try {
    const found = z.object({ integrity_check: z.string() }).parse(database.prepare("PRAGMA integrity_check").get());
    if (found.integrity_check !== "ok") throw new StackError(`${path} is damaged: ${found.integrity_check}`);
  } finally {
    database.close();
  }
}

async function copyBlobs(
  from: string,
  to: string,
  onProgress: (line: string) => void,
): Promise<{ count: number; bytes: number }> {
  let count = 0;
  let bytes = 0;
  await mkdir(to, { recursive: true });
  for (const path of await filesOf(from, () => true)) {
    await mkdir(dirname(join(to, path)), { recursive: true });
    // One that went meanwhile is missed by nobody: its row went before it.
    const isThere = await copyFile(join(from, path), join(to, path), constants.COPYFILE_FICLONE).then(
      () => true,
      unlessGone,
    );
    if (!isThere) continue;
    count += 1;
    bytes += (await stat(join(to, path))).size;
    if (count % 1000 === 0) onProgress(`blobs: ${count}`);
  }
  return { count, bytes };
}

/** Empty where the folder is not there. One that can't be read throws: a copy without its files would seem whole. */
async function filesOf(folder: string, isWanted: (path: string) => boolean): Promise<string[]> {
  if (!(await exists(folder))) return [];
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)));
  return paths.filter(isWanted).sort();
}

function unlessGone(error: unknown): false {
  if (error instanceof Error && "code" in error && error.code === "ENOENT") return false;
  throw error;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
