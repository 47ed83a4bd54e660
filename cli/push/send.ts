/**
 * Brings the bytes of files to the gateway: hashes them, asks which chunks are missing, and sends those, all at the
 * same time. What was sent before a cut is not missing the next time.
 */
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod";
import { chunkBytes, CHUNK_BYTES, Sha256Schema } from "../../src/contract/bundle.ts";
import type { BundleFile } from "../../src/contract/bundle.ts";
import { Refusal, refusal } from "../client.ts";
import type { Client } from "../client.ts";
import type { Connection } from "../config.ts";
import { CliError, exitCodes, messageOf } from "../errors.ts";
import { framedBytes, Grouping, writeChunk, writeFrames } from "./chunks.ts";
import type { Chunk } from "./chunks.ts";
import type { PushedFile } from "./folder.ts";
import { hashFile } from "./hashes.ts";
import type { HashCache } from "./hashes.ts";
import { Sender } from "./request.ts";
import type { Answer } from "./request.ts";

/** Requests on their way. */
const PARALLEL = 4;
/** One question names so many chunks at most. */
const ASKED_CHUNKS = 10_000;
/** Where no question is on its way, so many bytes are worth one. */
const ASKED_BYTES = CHUNK_BYTES;
/** Of an upload that didn't come through: about two minutes in all. */
const TRIES = 8;
const FIRST_WAIT_MS = 500;
const MAX_WAIT_MS = 30_000;

const MissingSchema = z.object({ missing: z.array(Sha256Schema) });

export type SendOptions = {
  client: Client;
  connection: Connection;
  /** `owner/name`. */
  model: string;
  cache: HashCache;
  signal: AbortSignal;
  /** So many bytes are known by their hash. */
  onHashed(bytes: number): void;
  /** So many bytes are there already. */
  onPresent(bytes: number): void;
  /** So many bytes have to be sent. */
  onMissing(bytes: number): void;
  /** So many of them left; negative where a request failed and begins again. */
  onSent(bytes: number): void;
  /** A request failed and is sent again. */
  onRetry(why: string): void;
};

/** Sends what is missing; answers the rows of the bundle, in the order of the files. */
export async function sendFiles(files: readonly PushedFile[], options: SendOptions): Promise<BundleFile[]> {
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const uploads = new Uploads({ ...options, signal }, () => stop.abort());
  const questions = new Questions({ ...options, signal }, uploads);
  try {
    const rows: BundleFile[] = [];
    for (const file of files) {
      const known = options.cache.find(file);
      const chunks = known ?? (await hashFile(file, signal, options.onHashed));
      if (known === null) options.cache.keep(file, chunks);
      else options.onHashed(file.bytes);
      for (const [index, sha256] of chunks.entries())
        questions.add({ sha256, file, at: index * CHUNK_BYTES, bytes: chunkBytes(file.bytes, index) });
      rows.push({ path: file.path, mode: file.mode, bytes: file.bytes, chunks });
      signal.throwIfAborted();
    }
    await questions.finish();
    await uploads.finish();
    return rows;
  } catch (error) {
    stop.abort();
    // All else ends because of the first failure.
    throw uploads.failure ?? error;
  } finally {
    uploads.close();
  }
}

/** Gathers chunks while a question is on its way: there are few where hashes are remembered, and none comes late. */
class Questions {
  readonly #options: SendOptions;
  readonly #uploads: Uploads;
  readonly #seen = new Set<string>();
  #gathered: Chunk[] = [];
  #gatheredBytes = 0;
  #isAsking = false;
  /** Questions are asked one after the other. */
  #asked: Promise<void> = Promise.resolve();

  constructor(options: SendOptions, uploads: Uploads) {
    this.#options = options;
    this.#uploads = uploads;
  }

  add(chunk: Chunk): void {
    if (this.#seen.has(chunk.sha256)) return;
    this.#seen.add(chunk.sha256);
    this.#gathered.push(chunk);
    this.#gatheredBytes += chunk.bytes;
    if (this.#gathered.length === ASKED_CHUNKS) this.#ask();
    else this.#askIfWorthWhile();
  }

  #askIfWorthWhile(): void {
    if (!this.#isAsking && this.#gatheredBytes >= ASKED_BYTES) this.#ask();
  }

  async finish(): Promise<void> {
    if (this.#gathered.length > 0) this.#ask();
    await this.#asked;
  }

  #ask(): void {
    const chunks = this.#gathered;
    this.#gathered = [];
    this.#gatheredBytes = 0;
    this.#isAsking = true;
    this.#asked = this.#asked.then(async () => {
      const missing = new Set(await askMissing(this.#options, chunks));
      const [here, there] = [chunks.filter(({ sha256 }) => missing.has(sha256)), chunks.length - missing.size];
      const sum = (some: readonly Chunk[]): number => some.reduce((bytes, one) => bytes + one.bytes, 0);
      if (there > 0) this.#options.onPresent(sum(chunks) - sum(here));
      this.#options.onMissing(sum(here));
      for (const chunk of here) this.#uploads.add(chunk);
      this.#isAsking = false;
      this.#askIfWorthWhile();
    });
    this.#asked.catch((error: unknown) => this.#uploads.fail(error));
  }
}

async function askMissing({ client, model, signal }: SendOptions, chunks: readonly Chunk[]): Promise<string[]> {
  const body = { chunks: chunks.map(({ sha256 }) => sha256) };
  const path = `/models/${model}/chunks/missing`;
  try {
    return (await client.api(MissingSchema, "POST", path, { body, repeatable: true, signal })).missing;
  } catch (error) {
    if (error instanceof Refusal && (error.status === 404 || error.status === 405)) throw olderGateway(client.url);
    throw error;
  }
}

/** It knows no such call. */
function olderGateway(url: string): CliError {
  return new CliError(
    `the gateway at ${url} is older than this command: it takes no pushed models`,
    exitCodes.failed,
    "Upgrade it (docs/deploy.md), or hand the folder to a pool (docs/models.md).",
  );
}

/** Sends requests, a few at a time; the first that fails for good ends all. */
class Uploads {
  readonly #options: SendOptions;
  readonly #onFailed: () => void;
  readonly #sender = new Sender(PARALLEL);
  readonly #grouping = new Grouping();
  #waiting: Chunk[][] = [];
  #underway = new Set<Promise<void>>();
  failure: unknown = null;

  /** `onFailed`: nothing of this push has to go on. */
  constructor(options: SendOptions, onFailed: () => void) {
    this.#options = options;
    this.#onFailed = onFailed;
  }

  add(chunk: Chunk): void {
    this.#waiting.push(...this.#grouping.add(chunk));
    this.#fill();
  }

  fail(error: unknown): void {
    this.failure ??= error;
    this.#waiting = [];
    this.#onFailed();
  }

  async finish(): Promise<void> {
    this.#waiting.push(...this.#grouping.rest());
    this.#fill();
    while (this.#underway.size > 0) await Promise.race(this.#underway);
    this.#options.signal.throwIfAborted();
  }

  close(): void {
    this.#waiting = [];
    this.#sender.close();
  }

  #fill(): void {
    while (this.#underway.size < PARALLEL && this.failure === null) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      const sending = this.#send(next)
        .catch((error: unknown) => this.fail(error))
        .finally(() => {
          this.#underway.delete(sending);
          this.#fill();
        });
      this.#underway.add(sending);
    }
  }

  async #send(chunks: readonly Chunk[]): Promise<void> {
    const { signal, onRetry } = this.#options;
    for (let attempt = 1; ; attempt += 1) {
      const failed = await this.#try(chunks);
      if (failed === null) return;
      if (!failed.mayHeal || attempt === TRIES) throw failed.error;
      onRetry(failed.error.message);
      const backoffMs = Math.min(FIRST_WAIT_MS * 2 ** (attempt - 1), MAX_WAIT_MS) * (0.5 + Math.random() / 2);
      const askedMs = failed.retryAfterS === null ? backoffMs : failed.retryAfterS * 1000;
      await sleep(Math.min(askedMs, MAX_WAIT_MS), undefined, { signal });
    }
  }

  async #try(
    chunks: readonly Chunk[],
  ): Promise<{ error: CliError; mayHeal: boolean; retryAfterS: number | null } | null> {
    const { model, connection, signal, onSent } = this.#options;
    const path = `${connection.url}/v1/models/${model}/chunks`;
    const [first] = chunks;
    const isAlone = chunks.length === 1 && first !== undefined;
    let sent = 0;
    let answer: Answer;
    try {
      answer = await this.#sender.send({
        ...(isAlone
          ? {
              method: "PUT",
              url: `${path}/${first.sha256}`,
              bytes: first.bytes,
              body: async (write) => writeChunk(first, write),
            }
          : {
              method: "POST",
              url: path,
              bytes: framedBytes(chunks),
              body: async (write) => writeFrames(chunks, write),
            }),
        key: connection.key ?? "",
        signal,
        onSent(bytes) {
          sent += bytes;
          onSent(bytes);
        },
      });
    } catch (error) {
      onSent(-sent);
      if (error instanceof CliError || signal.aborted) throw error;
      const message = `${new URL(path).origin} can't be reached: ${messageOf(error)}`;
      const remedy = "Run the same command again: what has arrived is not sent again.";
      return { error: new CliError(message, exitCodes.unreachable, remedy), mayHeal: true, retryAfterS: null };
    }
    if (answer.status < 300) {
      // Frames have heads, which are no bytes of the folder.
      onSent(chunks.reduce((sum, { bytes }) => sum + bytes, 0) - sent);
      return null;
    }
    onSent(-sent);
    const error = refusal(new URL(path), answer.status, answer.text);
    const mayHeal = answer.status >= 500 || [408, 425, 429].includes(answer.status) || error.code === "chunk_mismatch";
    return { error, mayHeal, retryAfterS: answer.retryAfterS };
  }
}
