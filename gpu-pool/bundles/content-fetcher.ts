/**
 * Brings contents into the cache: several chunks at a time, each verified while it is written. Of the pools of a host
 * one fetches a large file, and the others wait for it; what a process that was ended had of it is not fetched again.
 */
import { randomBytes } from "node:crypto";
import { mkdir, open, readFile, rename, rm, stat, statfs, writeFile } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import * as z from "zod";
import { CHUNK_BYTES } from "../../src/contract/bundle.ts";
import { withLock } from "../runtime/host-lock.ts";
import { createLimiter } from "../transport/limiter.ts";
import { createTurns } from "../transport/turns.ts";
import { beginHash, hashPart, partBytes } from "./contents.ts";
import type { Content, Contents } from "./contents.ts";
import { fetchChunk } from "./fetch-chunk.ts";
import type { ChunkRequest, Transfer } from "./fetch-chunk.ts";
import { asNoSpace, NoSpace } from "./problems.ts";

/** Chunks under way at a time, of all models of a pool, beside one of each. */
const TRANSFERS = 8;
/** Contents that are open at a time: whoever waits for another pool's looks at the lock of each, again and again. */
const OPEN_CONTENTS = 32;
/** What is no larger comes in one piece, and is not worth a lock. */
const SMALL_BYTES = 1024 * 1024;

/** Chunks of a partial file that were whole when they were written. */
const DoneSchema = z.array(z.int());

export type FetcherOptions = {
  contents: Contents;
  budgetBytes: number;
  /** The flag that sets it. */
  budgetFlag?: string;
  /** So much stays free on the disk. */
  leastFreeBytes: number;
  pause?: ChunkRequest["pause"];
};

export type Fetching = {
  /** Begins a transfer of a chunk; see `ChunkRequest`. */
  open(sha256: string, offset: number, signal: AbortSignal): ReturnType<ChunkRequest["open"]>;
  onBytes(bytes: number): void;
  signal: AbortSignal;
};

/** `inTurn`: of all that is fetched together. */
type InTurn = Fetching & { inTurn: <T>(work: () => Promise<T>) => Promise<T> };

export class ContentFetcher {
  readonly contents: Contents;
  readonly #options: FetcherOptions;
  readonly #turns = createTurns(TRANSFERS - 1);

  constructor(options: FetcherOptions) {
    this.#options = options;
    this.contents = options.contents;
  }

  /** Brings all that are not there. Throws `FetchProblem`, `SourceAway` or `NoSpace`. */
  async ensure(wanted: readonly Content[], fetching: Fetching): Promise<void> {
    const unique = new Map(wanted.map((content) => [content.id, content]));
    const missing: Content[] = [];
    for (const content of unique.values()) {
      if (await this.contents.has(content)) fetching.onBytes(content.bytes);
      else missing.push(content);
    }
    if (missing.length === 0) return;
    const { budgetBytes, budgetFlag = "--bundles-bytes" } = this.#options;
    const kept = [...unique.values()];
    await mkdir(this.contents.root, { recursive: true });
    const bring = async (): Promise<void> => this.#bring(missing, fetching);
    const fits = await this.contents.withRoom(this.#options, missing, kept, bring).catch((error: unknown) => {
      throw asNoSpace(error);
    });
    if (!fits)
      throw new NoSpace(`${sum(missing)} bytes more are wanted than ${budgetFlag} (${budgetBytes}) has room for`);
  }

  async #bring(missing: readonly Content[], fetching: Fetching): Promise<void> {
    await this.#checkDisk(missing);
    // Whoever fails ends the others: what they have stays.
    const ended = new AbortController();
    const signal = AbortSignal.any([fetching.signal, ended.signal]);
    const atATime = createLimiter(OPEN_CONTENTS);
    const inTurn = this.#turns();
    const results = await Promise.allSettled(
      missing.map(async (content) =>
        atATime(async () => {
          try {
            await this.#fetch(content, { ...fetching, signal, inTurn });
          } catch (error) {
            ended.abort();
            throw asNoSpace(error);
          }
        }),
      ),
    );
    const failures = results.flatMap((result) => (result.status === "rejected" ? [result.reason as unknown] : []));
    const first = failures.find((error) => !isAbort(error)) ?? failures[0];
    if (first !== undefined) throw first instanceof Error ? first : new Error(String(first));
  }

  async #checkDisk(missing: readonly Content[]): Promise<void> {
    const { bavail, bsize } = await statfs(this.contents.root);
    const missingBytes = sum(missing) - (await this.contents.partialBytes(missing));
    if (bavail * bsize < missingBytes + this.#options.leastFreeBytes)
      throw new NoSpace(
        `the disk of ${this.contents.root} has ${bavail * bsize} bytes free, and ${missingBytes} are wanted`,
      );
  }

  async #fetch(content: Content, fetching: InTurn): Promise<void> {
    if (content.bytes <= SMALL_BYTES && content.chunks.length === 1)
      return fetching.inTurn(async () => this.#fetchSmall(content, fetching));
    const isThere = await withLock(
      this.contents.lockOf(content.id),
      () => {},
      async () => {
        // Another pool may have brought it meanwhile.
        if (await this.contents.has(content)) return true;
        fetching.signal.throwIfAborted();
        await this.#fetchLarge(content, fetching);
        return false;
      },
    );
    if (isThere) fetching.onBytes(content.bytes);
  }

  async #fetchSmall(content: Content, { open: openChunk, onBytes, signal }: Fetching): Promise<void> {
    const [sha256 = ""] = content.chunks;
    const bytes = Buffer.alloc(content.bytes);
    await fetchChunk({
      ...this.#pause(),
      sha256,
      bytes: content.bytes,
      open: async (offset) => openChunk(sha256, offset, signal),
      write(parts, at) {
        let end = at;
        for (const part of parts) end += part.copy(bytes, end);
        return Promise.resolve();
      },
      onBytes,
      signal,
    });
    const partial = `${this.contents.partialOf(content)}.${randomBytes(6).toString("hex")}`;
    await mkdir(dirname(partial), { recursive: true, mode: 0o700 });
    try {
      await writeFile(partial, bytes, { mode: 0o600 });
      await this.contents.seal(partial, content);
    } catch (error) {
      await rm(partial, { force: true });
      throw error;
    }
  }

  /** The lock of the content must be held. */
  async #fetchLarge(content: Content, fetching: InTurn): Promise<void> {
    const partial = this.contents.partialOf(content);
    await mkdir(dirname(partial), { recursive: true, mode: 0o700 });
    const done = await this.#doneOf(partial, content);
    for (const index of done) fetching.onBytes(partBytes(content, index));
    const begun = await begunOf(partial, content);
    fetching.onBytes(begun.at);
    const file = await open(partial, done.size === 0 && begun.at === 0 ? "w" : "r+", 0o600);
    try {
      const missing = content.chunks.map((_, index) => index).filter((index) => !done.has(index));
      let noted = Promise.resolve();
      const note = (index: number): Promise<void> => {
        done.add(index);
        return (noted = noted.then(async () => writeNote(`${partial}.json`, [...done])));
      };
      const results = await Promise.allSettled(
        missing.map(async (index) =>
          fetching.inTurn(async () => {
            fetching.signal.throwIfAborted();
            await this.#fetchInto(file, content, index, { ...fetching, begun });
            if (content.chunks.length > 1) await note(index);
          }),
        ),
      );
      for (const result of results) if (result.status === "rejected") throw result.reason;
    } finally {
      await file.close();
    }
    await this.contents.seal(partial, content);
    await rm(`${partial}.json`, { force: true });
  }

  async #fetchInto(
    file: FileHandle,
    content: Content,
    index: number,
    { begun, ...fetching }: Fetching & { begun: Transfer },
  ): Promise<void> {
    const sha256 = content.chunks[index] ?? "";
    const start = index * CHUNK_BYTES;
    await fetchChunk({
      ...this.#pause(),
      sha256,
      bytes: partBytes(content, index),
      open: async (offset) => fetching.open(sha256, offset, fetching.signal),
      async write(parts, at) {
        const bytes = parts.reduce((sum, { length }) => sum + length, 0);
        const { bytesWritten } = await file.writev(parts, start + at);
        // A disk that is nearly full takes a part, and says so only of the rest.
        if (bytesWritten < bytes) await file.write(Buffer.concat(parts), bytesWritten, null, start + at + bytesWritten);
      },
      ...(content.chunks.length === 1 ? { begun } : {}),
      onBytes: fetching.onBytes,
      signal: fetching.signal,
    });
  }

  /** The chunks that a partial file has: what its note says is read again, as a host may have lost its power. */
  async #doneOf(partial: string, content: Content): Promise<Set<number>> {
    const done = new Set<number>();
    const text = await readFile(`${partial}.json`, "utf8").catch(() => "[]");
    for (const index of parseDone(text)) {
      const sha256 = content.chunks[index];
      if (sha256 === undefined) continue;
      const found = await hashPart(partial, index * CHUNK_BYTES, partBytes(content, index)).catch(() => null);
      if (found === sha256) done.add(index);
    }
    return done;
  }

  #pause(): Pick<ChunkRequest, "pause"> {
    const { pause } = this.#options;
    return pause === undefined ? {} : { pause };
  }
}

/**
 * How far a file of one chunk came, which is written from its start: weights may be one of many gigabytes. What a host
 * that lost its power has of it may be wrong, as its SHA-256 tells in the end: then it comes anew.
 */
async function begunOf(partial: string, content: Content): Promise<Transfer> {
  const { size } = content.chunks.length === 1 ? await stat(partial).catch(() => ({ size: 0 })) : { size: 0 };
  const at = size > content.bytes ? 0 : size;
  return { at, hash: await beginHash(partial, 0, at) };
}

function sum(contents: readonly Content[]): number {
  return contents.reduce((total, { bytes }) => total + bytes, 0);
}

async function writeNote(path: string, done: readonly number[]): Promise<void> {
  await writeFile(`${path}.new`, JSON.stringify(done));
  await rename(`${path}.new`, path);
}

function parseDone(text: string): number[] {
  try {
    return DoneSchema.parse(JSON.parse(text));
  } catch {
    return [];
  }
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}
