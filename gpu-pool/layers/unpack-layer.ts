/**
 * Puts a layer's files into an environment's folder. Large files are moved out of the cache, so that they are nowhere
 * twice; small ones are cut out of the packs, a few at a time, and between them others have their turn.
 */
import { closeSync, futimesSync, mkdirSync, openSync, rmSync, symlinkSync, writeSync } from "node:fs";
import { chmod, constants, copyFile, readFile, rename, rm, utimes } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setImmediate as otherWork } from "node:timers/promises";
import { bundleBytes, CHUNK_BYTES, EXECUTABLE_MODE, PLAIN_MODE } from "../../src/contract/bundle.ts";
import type { Bundle, BundleFile } from "../../src/contract/bundle.ts";
import { contentOf } from "../bundles/contents.ts";
import type { Contents } from "../bundles/contents.ts";
import { FetchProblem } from "../bundles/problems.ts";
import { isWithin } from "../transport/confined-file.ts";
import { INDEX_PATH, PLACEHOLDER, readLayerIndex } from "./layer-index.ts";
import type { IndexedFile, LayerIndex } from "./layer-index.ts";

/** How long files are written before others have their turn. */
const TURN_MS = 4;
const EMPTY = Buffer.alloc(0);

/** All contents of the bundle must be in the cache. Throws `FetchProblem` where the index is none of this bundle. */
export async function unpackLayer(dir: string, bundle: Bundle, contents: Contents): Promise<void> {
  const index = await readIndex(bundle, contents);
  const bytes = index.files.reduce((sum, file) => sum + file.bytes, 0);
  if (bytes > bundleBytes(bundle)) throw new FetchProblem("its index names more bytes than it has");
  const into = new Folder(dir);
  const listedAt = new Map(bundle.files.map((file) => [file.path, file]));
  const byFile = Map.groupBy(index.files, ({ from }) => from);
  const large: IndexedFile[] = [];
  for (const [from, files] of byFile) {
    const listed = listedAt.get(from);
    if (listed === undefined || from === INDEX_PATH) throw new FetchProblem(`its index names ${from}, which it lacks`);
    const [first] = files;
    if (files.length === 1 && first !== undefined && first.at === 0 && first.bytes === listed.bytes && !first.hasDir)
      large.push(first);
    else await unpackPack(into, files, await readContent(listed, contents));
  }
  await placeLarge(into, large, listedAt, contents);
  for (const { path, target } of index.links) {
    const to = into.pathFor(path);
    rmSync(to, { force: true });
    symlinkSync(target, to);
  }
}

async function readIndex(bundle: Bundle, contents: Contents): Promise<LayerIndex> {
  const listed = bundle.files.find(({ path }) => path === INDEX_PATH);
  if (listed === undefined) throw new FetchProblem("it has no index");
  const text = (await readContent(listed, contents)).toString();
  try {
    return await readLayerIndex(text);
  } catch (error) {
    throw new FetchProblem("its index is wrong", { cause: error });
  }
}

/** Of a pack, or of the index: all of it is in memory. */
async function readContent(listed: BundleFile, contents: Contents): Promise<Buffer> {
  const content = contentOf(listed);
  if (listed.bytes > CHUNK_BYTES)
    throw new FetchProblem(`its ${listed.path} is too large: it has ${listed.bytes} bytes`);
  return content === null ? EMPTY : readFile(contents.pathOf(content));
}

/** The environment's folder, in which folders are made as they are needed. */
class Folder {
  readonly dir: string;
  readonly #made = new Set<string>();

  constructor(dir: string) {
    this.dir = dir;
  }

  /** Where the file belongs; nothing is there yet that would stay, and its folder is. */
  pathFor(path: string): string {
    const to = join(this.dir, path);
    if (!isWithin(this.dir, to)) throw new FetchProblem(`${JSON.stringify(path)} leads out of the environment`);
    const folder = dirname(to);
    if (!this.#made.has(folder)) {
      mkdirSync(folder, { recursive: true });
      this.#made.add(folder);
    }
    return to;
  }
}

async function unpackPack(into: Folder, files: readonly IndexedFile[], pack: Buffer): Promise<void> {
  let turnEndsAt = performance.now() + TURN_MS;
  for (const file of files) {
    if (file.at + file.bytes > pack.length)
      throw new FetchProblem(`its index names more of ${file.from} than there is`);
    const packed = pack.subarray(file.at, file.at + file.bytes);
    writeSmall(into.pathFor(file.path), file.hasDir ? withDir(packed, into.dir) : packed, file);
    if (performance.now() < turnEndsAt) continue;
    await otherWork();
    turnEndsAt = performance.now() + TURN_MS;
  }
}

function writeSmall(to: string, bytes: Buffer, { isProgram, mtime }: IndexedFile): void {
  // The bare environment may have a file or a link of this name.
  rmSync(to, { force: true });
  const file = openSync(to, "wx", isProgram ? EXECUTABLE_MODE : PLAIN_MODE);
  try {
    for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at);
    futimesSync(file, mtime, mtime);
  } finally {
    closeSync(file);
  }
}

function withDir(bytes: Buffer, dir: string): Buffer {
  const own = Buffer.from(dir).toString("latin1");
  // A `$` in a text would stand for what was found.
  return Buffer.from(
    bytes.toString("latin1").replaceAll(PLACEHOLDER, () => own),
    "latin1",
  );
}

/** Of files with the same content the last one is moved, and the others are copies. */
async function placeLarge(
  into: Folder,
  files: readonly IndexedFile[],
  listedAt: ReadonlyMap<string, BundleFile>,
  contents: Contents,
): Promise<void> {
  const placed = files.flatMap((file) => {
    const listed = listedAt.get(file.from);
    const content = listed === undefined ? null : contentOf(listed);
    return content === null ? [] : [{ file, content }];
  });
  const left = new Map<string, number>();
  for (const { content } of placed) left.set(content.id, (left.get(content.id) ?? 0) + 1);
  for (const { file, content } of placed) {
    const to = into.pathFor(file.path);
    await rm(to, { force: true });
    const others = (left.get(content.id) ?? 1) - 1;
    left.set(content.id, others);
    if (others > 0) await copyFile(contents.pathOf(content), to, constants.COPYFILE_FICLONE);
    else await rename(contents.pathOf(content), to);
    await chmod(to, file.isProgram ? EXECUTABLE_MODE : PLAIN_MODE);
    await utimes(to, file.mtime, file.mtime);
  }
}
