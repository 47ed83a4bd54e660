/**
 * The files of pushed models, by their content: each once on a host, whatever models and versions have it.
 *
 *     ROOT/contents/ab/ID     a file that is whole; nobody writes to it
 *     ROOT/partial/ID         one that comes; of one with several chunks, ID.json beside it says which it should have
 *     ROOT/coming/…           what each pool brings now (coming.ts)
 *     ROOT/locks/…            held by who fetches a file, or takes files away
 *     ROOT/folders/POOL/…     the folders of that pool's models; large files in them are links to contents
 *
 * A file that is whole has one certain time of its last change: a model that writes to it in spite of its mode, as the
 * pool's own user may, changes that, and the next user reads it anew.
 */
import { createHash } from "node:crypto";
import type { Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { chmod, mkdir, open, readdir, rename, rm, stat, statfs, utimes } from "node:fs/promises";
import { join } from "node:path";
import { chunkBytes } from "../../src/contract/bundle.ts";
import type { BundleFile } from "../../src/contract/bundle.ts";
import { tryLock, withLock } from "../runtime/host-lock.ts";
import { Coming } from "./coming.ts";
import type { Comer } from "./coming.ts";

/** Of `ID`s: the chunk's own name where there is one, else the SHA-256 of the names; by reference, see `ownId`. */
export type Content = { id: string; bytes: number; chunks: readonly string[] };

/** What all contents may take, and what stays free on their disk. */
export type Room = { budgetBytes: number; leastFreeBytes: number };

const SEALED_AT = new Date("2001-01-01T00:00:00Z");
/** A file that came in part, and grew no more for so long, is wanted no more. */
const STALE_MS = 86_400_000;
const ID = /^[0-9a-f]{64}$/;
/** Of `stat`'s `blocks`, on every system: stat(2), `st_blocks`. */
const BLOCK_BYTES = 512;

/** Null for an empty file, which has none. */
export function contentOf(file: Pick<BundleFile, "bytes" | "chunks"> & Partial<Pick<Content, "id">>): Content | null {
  const { bytes, chunks } = file;
  const [first] = chunks;
  if (first === undefined) return null;
  const id = file.id ?? (chunks.length === 1 ? first : sha256Of(chunks.join("\n")));
  return { id, bytes, chunks };
}

/** One that an owner names by reference is that owner's only: who knows its SHA-256 has no right to it by that. */
export function ownId(owner: string, sha256: string): string {
  return sha256Of(`${owner}\n${sha256}`);
}

/** A file of the cache; `remove` answers whether it went. */
type Found = { id: string; size: number; usedMs: number; remove(): Promise<boolean> };

/** What was written of a file: one may have holes, and a disk rounds up, or sets aside what may still come. */
const writtenBytes = ({ size, blocks }: { size: number; blocks: number }): number =>
  Math.min(size, blocks * BLOCK_BYTES);

const sha256Of = (text: string): string => createHash("sha256").update(text).digest("hex");

export class Contents {
  readonly root: string;
  readonly #coming: Coming;

  constructor(root: string) {
    this.root = root;
    this.#coming = new Coming(root);
  }

  pathOf({ id }: Pick<Content, "id">): string {
    return join(this.root, "contents", id.slice(0, 2), id);
  }

  partialOf({ id }: Pick<Content, "id">): string {
    return join(this.root, "partial", id);
  }

  lockOf(name: string): string {
    return join(this.root, "locks", name);
  }

  /** Whether it is there, and what it should be. It counts as used now. */
  async has(content: Content): Promise<boolean> {
    const path = this.pathOf(content);
    const stats = await stat(path).catch(() => null);
    if (stats === null) return false;
    const isSealed = stats.mtimeMs === SEALED_AT.getTime() && stats.size === content.bytes;
    if (!isSealed && !(await isWhole(path, content))) {
      await rm(path, { force: true });
      return false;
    }
    return utimes(path, new Date(), SEALED_AT).then(
      () => true,
      () => false,
    );
  }

  /** What the disk holds of those that came in part. */
  async partialBytes(contents: readonly Comer[]): Promise<number> {
    let sum = 0;
    for (const content of contents) {
      const stats = await stat(this.partialOf(content)).catch(() => null);
      if (stats !== null) sum += Math.min(content.bytes, writtenBytes(stats));
    }
    return sum;
  }

  /** Puts a file in place that was verified while it was written. */
  async seal(from: string, content: Pick<Content, "id">): Promise<void> {
    const path = this.pathOf(content);
    const file = await open(from, "r");
    try {
      await file.sync();
    } finally {
      await file.close();
    }
    await chmod(from, 0o444);
    await utimes(from, new Date(), SEALED_AT);
    // What the folder of a model doesn't show, other users of the host don't see.
    await mkdir(join(path, ".."), { recursive: true, mode: 0o700 });
    await rename(from, path);
  }

  /**
   * Brings those that are missing, if they fit into the budget beside all else that the pools of this host bring;
   * whether they do. Takes away for them what came in part and nobody fetches, and then what no model's folder has,
   * each time what was used longest ago first, and none of `kept`. The same for what the disk lacks, if that is enough.
   */
  async withRoom(
    { budgetBytes, leastFreeBytes }: Room,
    missing: readonly Content[],
    kept: readonly Content[],
    bring: () => Promise<void>,
  ): Promise<boolean> {
    const end = await withLock(
      this.lockOf("collect"),
      () => {},
      async () => {
        await this.#dropStale();
        const coming = [...(await this.#coming.all()), ...missing];
        const isRoom = await this.#makeRoom({ budgetBytes, leastFreeBytes }, coming, kept);
        return isRoom ? this.#coming.begin(missing) : null;
      },
    );
    if (end === null) return false;
    await bring().finally(end);
    return true;
  }

  /** Whether all that come fit, after what had to go. */
  async #makeRoom(
    { budgetBytes, leastFreeBytes }: Room,
    all: readonly Comer[],
    kept: readonly Comer[],
  ): Promise<boolean> {
    const wanted = new Map(all.map((content) => [content.id, content]));
    const [partial, whole] = [await this.#partial(wanted), await this.#all()];
    const there = new Set(whole.map(({ id }) => id));
    const comers = [...wanted.values()].filter(({ id }) => !there.has(id));
    const coming = comers.map(({ bytes }) => ({ size: bytes }));
    let total = [...partial, ...whole, ...coming].reduce((sum, { size }) => sum + size, 0);
    const byUse = (a: Found, b: Found): number => a.usedMs - b.usedMs;
    const stays = new Set([...wanted.keys(), ...kept.map(({ id }) => id)]);
    const unused = whole.filter(({ id, links }) => links === 1 && !stays.has(id));
    const free = [...partial.filter(({ isFree }) => isFree).sort(byUse), ...unused.sort(byUse)];
    const freeBytes = free.reduce((sum, { size }) => sum + size, 0);
    // What can't fit takes nothing of others with it.
    if (total - freeBytes > budgetBytes) return false;
    const lackedBytes = await this.#lackedBytes(comers, leastFreeBytes);
    let lacking = lackedBytes > freeBytes ? 0 : lackedBytes;
    for (const { size, remove } of free) {
      if (total <= budgetBytes && lacking <= 0) break;
      if (!(await remove())) continue;
      total -= size;
      lacking -= size;
    }
    return total <= budgetBytes;
  }

  /** How much more must be free on the disk for all of these. */
  async #lackedBytes(comers: readonly Comer[], leastFreeBytes: number): Promise<number> {
    const { bavail, bsize } = await statfs(this.root);
    const bytes = comers.reduce((sum, comer) => sum + comer.bytes, 0) - (await this.partialBytes(comers));
    return bytes + leastFreeBytes - bavail * bsize;
  }

  /**
   * What came in part, and that nobody goes on with. The system's own time of its last change tells that: a file that
   * is just being put in place has the modification time of one that is sealed, which is years ago.
   */
  async #dropStale(): Promise<void> {
    const folder = join(this.root, "partial");
    for (const name of await readdir(folder).catch(() => [])) {
      const stats = await stat(join(folder, name)).catch(() => null);
      if (stats !== null && stats.ctimeMs < Date.now() - STALE_MS) await rm(join(folder, name), { force: true });
    }
  }

  /** What came in part of others than these: a pool that was killed, or whose model went, leaves it. */
  async #partial(except: ReadonlyMap<string, Comer>): Promise<(Found & { isFree: boolean })[]> {
    const names = await readdir(join(this.root, "partial")).catch(() => []);
    const others = names.filter((name) => ID.test(name) && !except.has(name));
    const found = await Promise.all(
      others.map(async (id) => {
        const path = this.partialOf({ id });
        const stats = await stat(path).catch(() => null);
        if (stats === null) return [];
        const remove = async () =>
          this.#ifNobodyFetches(id, async () => {
            for (const name of [path, `${path}.json`]) await rm(name, { force: true });
          });
        const isFree = await this.#ifNobodyFetches(id, async () => {});
        return { id, size: writtenBytes(stats), usedMs: stats.mtimeMs, isFree, remove };
      }),
    );
    return found.flat();
  }

  /** Does it, unless some pool of the host fetches this content. Whether it was done. */
  async #ifNobodyFetches(id: string, work: () => Promise<void>): Promise<boolean> {
    const lock = tryLock(this.lockOf(id), "exclusive");
    if (lock === null) return false;
    await work().finally(() => lock.release());
    return true;
  }

  async #all(): Promise<(Found & { links: number })[]> {
    const folders = await readdir(join(this.root, "contents")).catch(() => []);
    const found = await Promise.all(
      folders.map(async (folder) => {
        const names = await readdir(join(this.root, "contents", folder)).catch(() => []);
        return Promise.all(
          names
            .filter((name) => ID.test(name))
            .map(async (name) => {
              const path = join(this.root, "contents", folder, name);
              const stats = await stat(path).catch(() => null);
              if (stats === null) return [];
              const remove = async () => rm(path, { force: true }).then(() => true);
              return { id: name, size: stats.size, links: stats.nlink, usedMs: stats.atimeMs, remove };
            }),
        );
      }),
    );
    return found.flat(2);
  }
}

/** The size of a chunk; one that is alone is the whole file, however large. */
export function partBytes({ bytes, chunks }: Pick<Content, "bytes" | "chunks">, index: number): number {
  return chunks.length === 1 ? bytes : chunkBytes(bytes, index);
}

/** Whether each chunk of the file is what it should be. */
async function isWhole(path: string, { bytes, chunks }: Content): Promise<boolean> {
  const { size } = await stat(path);
  if (size !== bytes) return false;
  let at = 0;
  for (const [index, sha256] of chunks.entries()) {
    const length = partBytes({ bytes, chunks }, index);
    if ((await hashPart(path, at, length)) !== sha256) return false;
    at += length;
  }
  return true;
}

/** The SHA-256 of `length` bytes of a file from `at`, in hexadecimal; of fewer where it ends before. */
export async function hashPart(path: string, at: number, length: number): Promise<string> {
  return (await beginHash(path, at, length)).digest("hex");
}

/** The same, to be gone on with. */
export async function beginHash(path: string, at: number, length: number): Promise<Hash> {
  const hash = createHash("sha256");
  if (length === 0) return hash;
  const stream = createReadStream(path, { start: at, end: at + length - 1, highWaterMark: 1024 * 1024 });
  for await (const part of stream) if (Buffer.isBuffer(part)) hash.update(part);
  return hash;
}
