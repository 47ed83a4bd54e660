/**
 * Inputs on their way to a model process: a large one is fetched as a blob, URLs for file fields are downloaded, and
 * what does not fit in a frame goes by file. The child only ever sees `data:` URIs and paths that this module made.
 */
import { copyFileSync, existsSync, lchownSync, linkSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Json } from "../../src/contract/prediction.ts";
import { createBackoff } from "../scheduling/backoff.ts";
import { StatusError, TransportError } from "../transport/http-client.ts";
import type { HttpClient } from "../transport/http-client.ts";
import { createLimiter } from "../transport/limiter.ts";
import { parseJson } from "../transport/json.ts";
import type { RunMessage } from "./child-messages.ts";
import { download } from "./download.ts";
import type { DownloadRules, Total } from "./download.ts";
import { copyWithFiles, fileFields, isObject } from "./file-fields.ts";
import type { JsonObject } from "./file-fields.ts";
import { FILE_ABOVE_BYTES } from "./frames.ts";
import type { FileOwner } from "./isolation/types.ts";
import type { Prediction } from "./prediction.ts";
import type { InputBudget } from "./pressure/input-budget.ts";
import { removeFolder, removeStrangers } from "./remove-folder.ts";

const BLOB_TIMEOUT_MS = 300_000;
/** How much longer JSON may become when it is read and written again: 1e20 becomes 100000000000000000000. */
const REWRITTEN_GROWTH = 6;
/** Of one prediction: a client's list may be long. */
const DOWNLOADS_AT_ONCE = 8;

type Fields = ReturnType<typeof fileFields>;
type Fetch = (signal: AbortSignal) => Promise<void>;
type Planned = {
  tasks: Fetch[];
  total: Total;
  put: (path: string) => void;
};

export type InputOptions = {
  http: HttpClient;
  /** Where downloaded files go, a folder a claim. */
  inputsDir: string;
  download: Omit<DownloadRules, "total" | "signal">;
  /** The most that all files of one prediction may bring together. */
  maxTotalBytes: number;
  /** What all predictions of this host hold together; left out, as much as comes. */
  budget?: InputBudget;
};

/** Makes the `prepare` of a runner: null when nothing is to be waited for. Rejects with a message for the client. */
export function createPrepare(
  options: InputOptions,
): (prediction: Prediction, schema: JsonObject) => Promise<void> | null {
  const fieldsOf = new WeakMap<JsonObject, Fields>();

  return (prediction, schema) => {
    let fields = fieldsOf.get(schema);
    if (fields === undefined) {
      fields = fileFields(schema);
      fieldsOf.set(schema, fields);
    }
    if (prediction.grant.inputBlob !== undefined) return prepareBlob(prediction, prediction.grant.inputBlob, fields);
    return prepareFiles(prediction, fields);
  };

  async function prepareBlob(prediction: Prediction, path: string, fields: Fields): Promise<void> {
    const text = await fetchBlob(path, prediction.fetching.signal);
    prediction.input = parseJson(text);
    prediction.inputBytes = Buffer.byteLength(text);
    await prepareFiles(prediction, fields);
  }

  /** Tries on while the edge is away: the prediction's deadline ends it. */
  async function fetchBlob(path: string, signal: AbortSignal): Promise<string> {
    const backoff = createBackoff({ firstMs: 100, capMs: 2000 });
    for (;;) {
      signal.throwIfAborted();
      try {
        const { text, status } = await options.http.request({
          method: "GET",
          path,
          signal,
          timeoutMs: BLOB_TIMEOUT_MS,
        });
        if (status === 200) return text;
        const refusal = new StatusError(status, path, "");
        if (!refusal.mayHeal) throw new Error(`The input could not be fetched from the edge (status ${status}).`);
      } catch (error) {
        if (!(error instanceof TransportError)) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, backoff.nextMs()));
    }
  }

  function prepareFiles(prediction: Prediction, fields: Fields): Promise<void> | null {
    const { input } = prediction;
    if (fields.size === 0 || !isObject(input)) return null;
    const tasks: Fetch[] = [];
    const { maxTotalBytes, budget } = options;
    const { token } = prediction.ref;
    const total: Total = {
      leftBytes: maxTotalBytes,
      limitBytes: maxTotalBytes,
      take: (bytes) => budget?.take(token, bytes) ?? null,
    };
    if (budget !== undefined) prediction.dropShare = () => budget.release(token);
    const fetched: JsonObject = { ...input };
    for (const [field, schema] of fields) {
      const value = input[field];
      if (value === undefined) continue;
      fetched[field] = copyWithFiles(
        schema,
        value,
        (path) => (fetched[field] = path),
        (file, put) => plan(prediction, field, file, { tasks, total, put }),
      );
    }
    if (tasks.length === 0) return null;
    prediction.input = fetched;
    return fetchAll(tasks, prediction.fetching.signal);
  }

  function plan(prediction: Prediction, field: string, value: string, { tasks, total, put }: Planned): void {
    if (/^data:/i.test(value)) return;
    const number = tasks.length;
    tasks.push(async (signal) => {
      if (!/^https?:\/\//i.test(value)) {
        throw new Error(`Input ${field}: a file is given as an http(s) URL or a data: URI.`);
      }
      const folder = join(options.inputsDir, prediction.ref.token);
      prediction.inputDir = folder;
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      put(await download(value, folder, number, field, { ...options.download, total, signal }));
    });
  }
}

/** Fetches a few at a time. The first that fails ends the others, and is told when they have ended. */
async function fetchAll(tasks: readonly Fetch[], ended: AbortSignal): Promise<void> {
  const others = new AbortController();
  const signal = AbortSignal.any([ended, others.signal]);
  const inTurn = createLimiter(DOWNLOADS_AT_ONCE);
  const failures: unknown[] = [];
  const fetchOne = async (task: Fetch): Promise<void> => {
    if (signal.aborted) return;
    try {
      await task(signal);
    } catch (error) {
      failures.push(error);
      others.abort();
    }
  };
  await Promise.all(tasks.map((task) => inTurn(() => fetchOne(task))));
  if (failures.length > 0) throw failures[0];
}

/** Counts what was made for runs: a process may still hold what a prediction's last run was given. */
let runs = 0;

/**
 * The items of a `run`, each input inline where all of them fit in one frame, else in a file in `scratchDir`. Files
 * become `owner`'s, whose process reads and deletes them.
 */
export function runItems(
  predictions: readonly Prediction[],
  scratchDir: string,
  owner: FileOwner = null,
): RunMessage["items"] {
  const inlineUpToBytes = FILE_ABOVE_BYTES / predictions.length;
  return predictions.map((prediction) => {
    const { ref, grant, inputBytes } = prediction;
    const input = linkInputs(prediction, scratchDir, owner);
    const context: JsonObject = grant.traceparent === undefined ? {} : { traceparent: grant.traceparent };
    const item = { id: ref.token, stream: grant.stream, context };
    if (inputBytes * REWRITTEN_GROWTH <= inlineUpToBytes) return { ...item, input };
    const text = JSON.stringify(input);
    if (Buffer.byteLength(text) <= inlineUpToBytes) return { ...item, input };
    const inputFile = join(scratchDir, `input-${ref.token}.json`);
    prediction.linkedDirs.push(inputFile);
    const staged = stagedFor(inputFile, scratchDir);
    writeFileSync(staged, text, { mode: 0o600 });
    give(staged, owner);
    renameSync(staged, inputFile);
    return { ...item, inputFile };
  });
}

/**
 * A process opens files in its own scratch folder only: downloaded ones are linked there. Returns the input to send.
 */
function linkInputs(prediction: Prediction, scratchDir: string, owner: FileOwner): Json {
  const { input, inputDir, ref } = prediction;
  if (inputDir === null || !isObject(input)) return input;
  runs += 1;
  const folder = join(scratchDir, `files-${ref.token}-${runs}`);
  const staged = stagedFor(folder, scratchDir);
  mkdirSync(staged, { recursive: true, mode: 0o700 });
  prediction.linkedDirs.push(folder, staged);
  const linked = (value: Json): Json => {
    if (Array.isArray(value)) return value.map(linked);
    if (isObject(value)) return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, linked(inner)]));
    if (typeof value !== "string" || dirname(value) !== inputDir) return value;
    const path = join(staged, basename(value));
    if (!existsSync(path)) linkOrCopy(value, path);
    give(path, owner);
    return join(folder, basename(value));
  };
  const sent = linked(input);
  give(staged, owner);
  renameSync(staged, folder);
  return sent;
}

/**
 * Where something is made that is then moved into a process's scratch folder: the process could put a link in the place
 * of what is made there, and lead the pool's writes elsewhere.
 */
function stagedFor(path: string, scratchDir: string): string {
  const folder = stagingOf(scratchDir);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return join(folder, basename(path));
}

/** The folder of what is made for a process, beside its scratch folder. */
export function stagingOf(scratchDir: string): string {
  return `${scratchDir}.staged`;
}

function give(path: string, owner: FileOwner): void {
  if (owner !== null) lchownSync(path, owner.uid, owner.gid);
}

function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to);
  }
}

/** Deletes a prediction's downloaded files, and what was written for a process that never read it. */
export function dropInputs({ inputDir, linkedDirs, dropShare }: Prediction): void {
  if (inputDir !== null) removeFolder(inputDir);
  for (const path of linkedDirs) removeStrangers(path);
  dropShare();
}
