/**
 * Blobs: inputs and outputs that are too large for a row. Keys begin with the prediction's id; an output's key carries
 * the token of the claim that made it, so that a lost attempt can't overwrite what the winner stored.
 *
 *   predictions/<id>/input                 what the client sent
 *   predictions/<id>/output/<token>/<name> what a claim made
 */
import type { Json, PredictionSnapshot } from "../contract/prediction.ts";
import { parseWellFormed } from "../contract/well-formed.ts";
import type { Env } from "../env.ts";
import { log } from "../telemetry/log.ts";
import { createJsonCheck } from "./json-check.ts";
import { mendSurrogates } from "./mend-surrogates.ts";
import { abortUploadsUnder } from "./uploads.ts";

/** Inputs above this go to a blob; below, they travel inside the record. */
export const INLINE_INPUT_BYTES = 16 * 1024;

/** How old content is that nobody has noted, before it counts as an orphan. */
export const ORPHANED_AFTER_MS = 3_600_000;

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const LIST_LIMIT = 500;

export function inputBlobKey(id: string): string {
  return `predictions/${id}/input`;
}

/** The id of the prediction that a key is of; null for another key. */
export function predictionOf(key: string): string | null {
  return /^predictions\/([^/]+)\//.exec(key)?.[1] ?? null;
}

function outputsPrefix(id: string): string {
  return `predictions/${id}/output/`;
}

/** What a claim's blobs begin with. */
export function outputBlobPrefix(id: string, token: string): string {
  return `${outputsPrefix(id)}${token}/`;
}

/** Whether `name` can be the last part of a key. */
export function isBlobName(name: string): boolean {
  return NAME.test(name);
}

/**
 * Stores an input once: a client's key stands for one payload, so that a blob that is there with the same hash will do,
 * and one with another hash stays as it is. Returns false for the latter.
 */
export async function putInputOnce(bucket: R2Bucket, key: string, text: string, payloadHash: string): Promise<boolean> {
  const metadata = { customMetadata: { payloadHash }, httpMetadata: { contentType: "application/json" } };
  const stored = await bucket.put(key, text, { ...metadata, onlyIf: { etagDoesNotMatch: "*" } });
  if (stored !== null) return true;
  const there = await bucket.head(key);
  if (there?.customMetadata?.["payloadHash"] !== payloadHash) return false;
  if (mayBeSwept(there)) await bucket.put(key, text, metadata);
  return true;
}

/**
 * Its prediction may not be there yet: what is old must be stored anew, so that it isn't swept as an orphan before that
 * is.
 */
function mayBeSwept({ uploaded }: R2Object): boolean {
  return uploaded.getTime() < Date.now() - ORPHANED_AFTER_MS / 2;
}

/**
 * Copies an input, with what is known of it; an earlier copy that is young stays as it is. False when there is neither
 * original nor copy.
 */
export async function copyInput(bucket: R2Bucket, from: string, to: string): Promise<boolean> {
  const there = await bucket.head(to);
  if (there !== null && !mayBeSwept(there)) return true;
  const original = await bucket.get(from);
  if (original === null) return there !== null;
  const { customMetadata = {}, httpMetadata = {} } = original;
  await bucket.put(to, original.body, { customMetadata, httpMetadata });
  return true;
}

/**
 * Puts input and output in place of their blobs. One that is gone, or larger than `maxBytes`, is null. Other answers
 * stream them (`streamJson`).
 */
export async function withBlobs(
  bucket: R2Bucket,
  prediction: PredictionSnapshot,
  maxBytes: number,
): Promise<PredictionSnapshot> {
  const { inputBlob, outputBlob } = prediction;
  if (inputBlob === null && outputBlob === null) return prediction;
  const contentOf = async (key: string | null, inline: Json): Promise<Json> =>
    key === null ? inline : (await readJsonUpTo(bucket, key, maxBytes)).value;
  const [input, output] = await Promise.all([
    contentOf(inputBlob, prediction.input),
    contentOf(outputBlob, prediction.output),
  ]);
  return { ...prediction, input, output };
}

/** `isLarge`: it is there and not read, and its value is null. */
export type JsonContent = { value: Json; isLarge?: boolean };

/**
 * Reads a blob of JSON of at most `maxBytes`; null when it is gone, or something else: a stranger stored it. Lone
 * surrogates become U+FFFD.
 */
export async function readJsonUpTo(bucket: R2Bucket, key: string, maxBytes: number): Promise<JsonContent> {
  const object = await bucket.get(key);
  if (object === null) return { value: null };
  if (object.size > maxBytes) {
    await object.body.cancel();
    return { value: null, isLarge: true };
  }
  const text = await object.text();
  try {
    return { value: parseWellFormed(text) as Json };
  } catch {
    log.warn("blob_is_no_json", { predictionId: predictionOf(key) });
    return { value: null };
  }
}

/**
 * A blob of JSON in one line, as it is read, with U+FFFD for lone surrogates; `null` when it is gone. Throws when it
 * turns out to be something else.
 */
export async function* streamJson(bucket: R2Bucket, key: string): AsyncGenerator<Uint8Array> {
  const object = await bucket.get(key);
  if (object === null) {
    yield new TextEncoder().encode("null");
    return;
  }
  yield* mendSurrogates(checked(object.body as ReadableStream<Uint8Array>));
}

async function* checked(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const check = createJsonCheck();
  for await (const piece of body) yield check.push(piece);
  check.end();
}

/** Deletes all that was stored for a prediction: its input, every attempt's output, and what is still on its way up. */
export async function deletePredictionBlobs(stores: Pick<Env, "DB" | "BLOBS">, id: string): Promise<void> {
  const prefix = `predictions/${id}/`;
  await abortUploadsUnder(stores, prefix);
  for (;;) {
    const page = await stores.BLOBS.list({ prefix, limit: LIST_LIMIT });
    if (page.objects.length > 0) await stores.BLOBS.delete(page.objects.map((object) => object.key));
    if (!page.truncated) return;
  }
}

/** Deletes the outputs of a prediction's claims but that of `token`, and gives up those on their way. */
export async function deleteStrayOutputs(
  stores: Pick<Env, "DB" | "BLOBS">,
  id: string,
  token: string | null,
): Promise<void> {
  const isStray = (key: string) => token === null || !key.startsWith(outputBlobPrefix(id, token));
  await abortUploadsUnder(stores, outputsPrefix(id), isStray);
  for (let startAfter = ""; ;) {
    const page = await stores.BLOBS.list({ prefix: outputsPrefix(id), startAfter, limit: LIST_LIMIT });
    const keys = page.objects.map(({ key }) => key);
    const strays = keys.filter(isStray);
    if (strays.length > 0) await stores.BLOBS.delete(strays);
    if (!page.truncated) return;
    startAfter = keys.at(-1) ?? "";
  }
}
