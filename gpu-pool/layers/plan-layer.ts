/**
 * Turns an environment on disk into a layer: a list of files, and for each chunk of it a way to read it again. Nothing
 * is written, and no more than a pack is in memory.
 *
 * Small files are packed by the package that they belong to, and what Python compiled by itself: two environments with
 * the same PyTorch share most of their chunks. Where the environment's own path stands in a text, a placeholder takes
 * its place; a program that holds it can't be moved, and such an environment is none for others.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, open, readdir, readFile, readlink, realpath } from "node:fs/promises";
import { join } from "node:path";
import { CHUNK_BYTES, pathProblem, PLAIN_MODE } from "../../src/contract/bundle.ts";
import type { Bundle, BundleFile } from "../../src/contract/bundle.ts";
import { BARE, INDEX_PATH, indexProblem, isInside, largePath } from "./layer-index.ts";
import { MAX_ENTRIES, packPath, PLACEHOLDER } from "./layer-index.ts";
import type { IndexedFile, LayerIndex } from "./layer-index.ts";

/** Larger files are by themselves: they come and go without being copied. */
const SMALL_BYTES = 1024 * 1024;
const PACK_BYTES = 16 * 1024 * 1024;
/** Packages with less share packs. */
const OWN_PACKS_BYTES = 1024 * 1024;
const PIECE_BYTES = 1024 * 1024;
/** A text has no such byte near its start. */
const LOOKED_AT_BYTES = 8192;
const MAX_FILE_MTIME_S = 2 ** 40;

const COMPILED = /(?:^|\/)__pycache__\//;
/** What tells how a package was built. Source: PEP 427, "File contents"; PEP 600 for tags that run elsewhere. */
const WHEEL = /\/([^/]+)\.dist-info\/WHEEL$/;
const COMPILED_HERE = /^Tag: \S+-linux_\w+$/m;
const PACKAGE = /^(lib\/[^/]+\/site-packages\/[^/]+)\//;

/** The environment can't be used anywhere else, or is no more what was built; the message says why. */
export class NotPortable extends Error {
  override readonly name = "NotPortable";
}

/** The bytes of a chunk: a part of a file, or a pack in memory. */
export type ChunkContent = { path: string; start: number; bytes: number } | Buffer;

export type LayerPlan = {
  bundle: Bundle;
  /** Packages that were compiled on this host, or say as little of where they run: maybe for its processor alone. */
  compiled: string[];
  /** Reads a chunk of the bundle again. Throws `NotPortable` where a file is another by now. */
  read(sha256: string): Promise<ChunkContent>;
};

export type PlanOptions = {
  /** The environment's folder. */
  dir: string;
  /** What was changed later, in milliseconds since the epoch, is none of what was built. */
  builtAtMs: number;
  /** Waits after a piece of work of so many milliseconds; throws when all is to end. */
  rest(workedMs: number): Promise<void>;
};

type Found = { path: string; mode: number; bytes: number; mtimeMs: number };
type Packed = Found & { hasDir: boolean; packedBytes: number };

/** Throws `NotPortable`. */
export async function planLayer(options: PlanOptions): Promise<LayerPlan> {
  const { files, links } = await walk(options);
  const wrong = indexProblem({ files: [], links });
  if (wrong !== null) throw new NotPortable(wrong);
  const small = files.filter(({ bytes }) => bytes <= SMALL_BYTES);
  const index: LayerIndex = { files: [], links };
  const listed: BundleFile[] = [];
  const chunks = new Map<string, () => Promise<ChunkContent>>();
  const list = (path: string, bytes: number, hashes: string[]): void =>
    void listed.push({ path, mode: PLAIN_MODE, bytes, chunks: hashes });

  const compiled: string[] = [];
  for (const [number, group] of packsOf(small).entries()) {
    const { sha256, packed, compiled: here } = await readPack(options, group);
    compiled.push(...here);
    const path = packPath(number);
    const bytes = packed.reduce((sum, { packedBytes }) => sum + packedBytes, 0);
    list(path, bytes, bytes === 0 ? [] : [sha256]);
    chunks.set(sha256, async () => readAgain(options, group, sha256));
    let at = 0;
    for (const one of packed) {
      index.files.push(indexed(one, path, at, one.packedBytes, one.hasDir));
      at += one.packedBytes;
    }
  }
  for (const [number, one] of files.filter(({ bytes }) => bytes > SMALL_BYTES).entries()) {
    const hashes = await hashLarge(options, one);
    const path = largePath(number);
    list(path, one.bytes, hashes);
    index.files.push(indexed(one, path, 0, one.bytes, false));
    for (const [at, sha256] of hashes.entries()) {
      const start = at * CHUNK_BYTES;
      const part = { path: join(options.dir, one.path), start, bytes: Math.min(CHUNK_BYTES, one.bytes - start) };
      chunks.set(sha256, () => Promise.resolve(part));
    }
  }
  addIndex(index, list, chunks);
  const bundle: Bundle = { format: 1, files: listed.toSorted((a, b) => (a.path < b.path ? -1 : 1)) };
  return {
    bundle,
    compiled,
    read: async (sha256) => {
      const read = chunks.get(sha256);
      if (read === undefined) throw new NotPortable(`no chunk of it is ${sha256}`);
      return read();
    },
  };
}

function addIndex(
  index: LayerIndex,
  list: (path: string, bytes: number, hashes: string[]) => void,
  chunks: Map<string, () => Promise<ChunkContent>>,
): void {
  const text = Buffer.from(JSON.stringify(index));
  if (text.length > CHUNK_BYTES) throw new NotPortable(`the list of its files has ${text.length} bytes`);
  const sha256 = sha256Of(text);
  list(INDEX_PATH, text.length, [sha256]);
  chunks.set(sha256, () => Promise.resolve(text));
}

function indexed(one: Found, from: string, at: number, bytes: number, hasDir: boolean): IndexedFile {
  const mtime = Math.min(MAX_FILE_MTIME_S, Math.max(0, Math.floor(one.mtimeMs / 1000)));
  return { path: one.path, isProgram: (one.mode & 0o100) !== 0, mtime, from, at, bytes, hasDir };
}

async function walk({ dir, builtAtMs, rest }: PlanOptions): Promise<{ files: Found[]; links: LayerIndex["links"] }> {
  const [files, links]: [Found[], LayerIndex["links"]] = [[], []];
  const visit = async (folder: string): Promise<void> => {
    const startedAt = performance.now();
    const entries = await readdir(join(dir, folder), { withFileTypes: true });
    for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (BARE.test(path)) continue;
      const wrong = pathProblem(path);
      if (wrong !== null) throw new NotPortable(`${JSON.stringify(path)} ${wrong}`);
      if (entry.isDirectory()) await visit(path);
      else if (entry.isSymbolicLink()) links.push(linkAt(path, await readlink(join(dir, path))));
      else if (entry.isFile()) {
        const { mode, size, mtimeMs } = await lstat(join(dir, path));
        if (mtimeMs <= builtAtMs) files.push({ path, mode, bytes: size, mtimeMs });
        else if (!COMPILED.test(path)) throw new NotPortable(`${path} was changed since it was built`);
      } else throw new NotPortable(`${path} is neither a file nor a folder`);
      if (files.length + links.length > MAX_ENTRIES) throw new NotPortable(`it has more than ${MAX_ENTRIES} files`);
    }
    await rest(performance.now() - startedAt);
  };
  await visit("");
  return { files, links };
}

function linkAt(path: string, target: string): LayerIndex["links"][number] {
  if (isInside(path, target)) return { path, target };
  throw new NotPortable(`${path} is a link that leads out of it`);
}

/** Files that make a pack, in the order in which they lie in it. What comes or goes changes few other packs. */
function packsOf(small: readonly Found[]): Found[][] {
  const groups = Map.groupBy(small, ({ path }) => `${COMPILED.test(path) ? "compiled" : "plain"} ${packageOf(path)}`);
  const shared = new Map<string, Found[]>();
  const own: Found[][] = [];
  for (const [name, files] of groups) {
    const bytes = files.reduce((sum, one) => sum + one.bytes, 0);
    const [kind = ""] = name.split(" ");
    if (bytes >= OWN_PACKS_BYTES) own.push(files);
    else shared.set(kind, [...(shared.get(kind) ?? []), ...files]);
  }
  return [...own, ...shared.values()].flatMap(cut);
}

function packageOf(path: string): string {
  return PACKAGE.exec(path)?.[1] ?? "";
}

function cut(files: readonly Found[]): Found[][] {
  const packs: Found[][] = [];
  let [pack, bytes]: [Found[], number] = [[], 0];
  for (const one of files) {
    if (bytes + one.bytes > PACK_BYTES && pack.length > 0) {
      packs.push(pack);
      [pack, bytes] = [[], 0];
    }
    pack.push(one);
    bytes += one.bytes;
  }
  return pack.length > 0 ? [...packs, pack] : packs;
}

/**
 * Reads a pack file by file, and hashes it so: between them the event loop has its turn, on which leases and rooms
 * depend. `onPart` is given its bytes.
 */
async function readPack(
  { dir, rest }: PlanOptions,
  files: readonly Found[],
  onPart: (part: Buffer) => void = () => {},
): Promise<{ sha256: string; packed: Packed[]; compiled: string[] }> {
  const [packed, compiled]: [Packed[], string[]] = [[], []];
  const hash = createHash("sha256");
  const own = await pathsOf(dir);
  let startedAt = performance.now();
  let sinceRest = 0;
  for (const one of files) {
    const bytes = await readFile(join(dir, one.path));
    if (bytes.length !== one.bytes) throw new NotPortable(`${one.path} was changed while it was packed`);
    const name = WHEEL.exec(one.path)?.[1];
    if (name !== undefined && COMPILED_HERE.test(bytes.toString("latin1"))) compiled.push(name);
    const hasDir = own.some((path) => bytes.includes(path)) && !COMPILED.test(one.path);
    if (hasDir && !isText(bytes))
      throw new NotPortable(`${one.path} holds the path of the environment, and is no text`);
    if (hasDir && bytes.includes(PLACEHOLDER)) throw new NotPortable(`${one.path} holds ${PLACEHOLDER}`);
    const part = hasDir ? replaced(bytes, own, PLACEHOLDER) : bytes;
    hash.update(part);
    onPart(part);
    packed.push({ ...one, hasDir, packedBytes: part.length });
    sinceRest += bytes.length;
    if (sinceRest < PIECE_BYTES) continue;
    await rest(performance.now() - startedAt);
    [startedAt, sinceRest] = [performance.now(), 0];
  }
  return { sha256: hash.digest("hex"), packed, compiled };
}

async function readAgain(options: PlanOptions, files: readonly Found[], sha256: string): Promise<Buffer> {
  const parts: Buffer[] = [];
  const found = await readPack(options, files, (part) => parts.push(part));
  if (found.sha256 !== sha256) throw new NotPortable("files of it were changed while it was packed");
  return Buffer.concat(parts);
}

/** The SHA-256 of each chunk. Throws `NotPortable` where the environment's path stands in it. */
async function hashLarge({ dir, rest }: PlanOptions, { path, bytes }: Found): Promise<string[]> {
  const own = await pathsOf(dir);
  const overlap = Math.max(...own.map(({ length }) => length)) - 1;
  const file = await open(join(dir, path), "r");
  const hashes: string[] = [];
  const piece = Buffer.alloc(PIECE_BYTES + overlap);
  try {
    let hash = createHash("sha256");
    // What ends one piece is looked at again at the start of the next.
    let kept = 0;
    for (let at = 0; at < bytes;) {
      const startedAt = performance.now();
      const most = Math.min(PIECE_BYTES, bytes - at, CHUNK_BYTES - (at % CHUNK_BYTES));
      const { bytesRead } = await file.read(piece, kept, most, at);
      if (bytesRead === 0) throw new NotPortable(`${path} was changed while it was packed`);
      const end = kept + bytesRead;
      if (own.some((one) => piece.subarray(0, end).includes(one)))
        throw new NotPortable(`${path} holds the path of the environment, and is too large to change`);
      hash.update(piece.subarray(kept, end));
      at += bytesRead;
      if (at % CHUNK_BYTES === 0 || at === bytes) {
        hashes.push(hash.digest("hex"));
        hash = createHash("sha256");
      }
      kept = Math.min(overlap, end);
      piece.copyWithin(0, end - kept, end);
      await rest(performance.now() - startedAt);
    }
  } finally {
    await file.close();
  }
  return hashes;
}

/** The environment's path, as it was given and as the system has it: tools write either. The longer one first. */
async function pathsOf(dir: string): Promise<Buffer[]> {
  const paths = [...new Set([dir, await realpath(dir)])].toSorted((a, b) => b.length - a.length);
  return paths.map((path) => Buffer.from(path));
}

/** Byte by byte: what is no UTF-8 stays what it is. */
function replaced(bytes: Buffer, what: readonly Buffer[], by: string): Buffer {
  let text = bytes.toString("latin1");
  for (const one of what) text = text.replaceAll(one.toString("latin1"), by);
  return Buffer.from(text, "latin1");
}

function isText(bytes: Buffer): boolean {
  return !bytes.subarray(0, LOOKED_AT_BYTES).includes(0);
}

function sha256Of(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The chunk in pieces, as it is sent. */
export async function* piecesOf(content: ChunkContent): AsyncGenerator<Buffer> {
  if (Buffer.isBuffer(content)) {
    for (let at = 0; at < content.length; at += PIECE_BYTES) yield content.subarray(at, at + PIECE_BYTES);
    return;
  }
  const { path, start, bytes } = content;
  const stream = createReadStream(path, { start, end: start + bytes - 1, highWaterMark: PIECE_BYTES });
  for await (const piece of stream) if (Buffer.isBuffer(piece)) yield piece;
}

export const chunkLength = (content: ChunkContent): number =>
  Buffer.isBuffer(content) ? content.length : content.bytes;
