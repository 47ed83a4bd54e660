/**
 * The chunks of files by their SHA-256. What was hashed once is remembered by the file's state (size, times, inode) in
 * `$XDG_CACHE_HOME/edgeplane/push`, so that a file which has not changed is not read again.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import * as z from "zod";
import { CHUNK_BYTES, Sha256Schema } from "../../src/contract/bundle.ts";
import type { Io } from "../io.ts";
import { changed, checkUnchanged, openUnchanged } from "./folder.ts";
import type { FileState, PushedFile } from "./folder.ts";

const READ_BYTES = 4 * 1024 * 1024;
/** A file that was changed so shortly before it was hashed may change again and keep its times. */
const SETTLED_MS = 2000;
const NS_PER_MS = 1_000_000n;

const CacheSchema = z.object({
  format: z.literal(1),
  files: z.record(
    z.string(),
    z.object({
      bytes: z.number(),
      mtimeNs: z.string(),
      ctimeNs: z.string(),
      inode: z.string(),
      chunks: z.array(Sha256Schema),
    }),
  ),
});
type Known = z.infer<typeof CacheSchema>["files"][string];

export class HashCache {
  readonly #file: string;
  readonly #before: Map<string, Known>;
  readonly #now = new Map<string, Known>();

  /** Of the folder at `dir`. A cache that can't be read is an empty one. */
  constructor(io: Io, dir: string) {
    const base = io.env["XDG_CACHE_HOME"] ?? join(io.env["HOME"] ?? homedir(), ".cache");
    this.#file = join(base, "edgeplane", "push", `${createHash("sha256").update(dir).digest("hex").slice(0, 32)}.json`);
    this.#before = readCache(this.#file);
  }

  /** Null where the file must be read. */
  find(file: PushedFile): string[] | null {
    const known = this.#before.get(file.path);
    if (known === undefined || !isSame(known, file)) return null;
    this.#now.set(file.path, known);
    return known.chunks;
  }

  keep(file: PushedFile, chunks: string[]): void {
    const { path, bytes, mtimeNs, ctimeNs, inode } = file;
    const changedAtMs = Number(BigInt(ctimeNs) / NS_PER_MS);
    if (changedAtMs < Date.now() - SETTLED_MS) this.#now.set(path, { bytes, mtimeNs, ctimeNs, inode, chunks });
  }

  /** Writes it whole or not at all. `isWhole`: every file was looked at, and what else was known is forgotten. */
  save(isWhole: boolean): void {
    const files = Object.fromEntries(isWhole ? this.#now : [...this.#before, ...this.#now]);
    const draft = `${this.#file}.${process.pid}`;
    try {
      mkdirSync(join(this.#file, ".."), { recursive: true, mode: 0o700 });
      writeFileSync(draft, JSON.stringify({ format: 1, files }), { mode: 0o600 });
      renameSync(draft, this.#file);
    } catch {
      // The next push reads the files again.
      rmSync(draft, { force: true });
    }
  }
}

/** Reads a file, chunk by chunk. Throws where it changed meanwhile. `onRead` hears of bytes. */
export async function hashFile(
  file: PushedFile,
  signal: AbortSignal,
  onRead: (bytes: number) => void,
): Promise<string[]> {
  const handle = await openUnchanged(file);
  try {
    const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, file.bytes));
    const chunks: string[] = [];
    for (let at = 0; at < file.bytes;) {
      const end = Math.min(at + CHUNK_BYTES, file.bytes);
      const hash = createHash("sha256");
      while (at < end) {
        signal.throwIfAborted();
        const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, end - at), at);
        if (bytesRead === 0) throw changed(file.path);
        hash.update(buffer.subarray(0, bytesRead));
        at += bytesRead;
        onRead(bytesRead);
      }
      chunks.push(hash.digest("hex"));
    }
    checkUnchanged(file, await handle.stat({ bigint: true }));
    return chunks;
  } finally {
    await handle.close();
  }
}

function isSame(known: Known, file: FileState): boolean {
  return (
    known.bytes === file.bytes &&
    known.mtimeNs === file.mtimeNs &&
    known.ctimeNs === file.ctimeNs &&
    known.inode === file.inode
  );
}

function readCache(file: string): Map<string, Known> {
  try {
    return new Map(Object.entries(CacheSchema.parse(JSON.parse(readFileSync(file, "utf8"))).files));
  } catch {
    return new Map();
  }
}
