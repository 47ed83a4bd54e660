/**
 * Uploads in parts, for what is larger than a request: start → parts, in any order, each again if need be → complete or
 * abort. All parts have one size, but for the last. On R2's multipart uploads:
 * https://developers.cloudflare.com/r2/objects/multipart-objects/
 *
 *     started ──part n──▶ started ──complete──▶ an object under `key`
 *        └── aborted, or 24 h without a part ──▶ gone, parts and all
 */
import { EdgeplaneError } from "../contract/errors.ts";
import type { Json } from "../contract/prediction.ts";
import type { Env } from "../env.ts";
import { quotaExceeded } from "../registry/quotas.ts";
import type { QuotaVars } from "../registry/quotas.ts";
import type { SweepStep } from "../registry/sweep.ts";
import { toHex, transfer } from "./transfer.ts";
import {
  UPLOAD_IDLE_MS,
  abandonedUploads,
  deletePart,
  deleteUploadRows,
  deleteUploads,
  insertUpload,
  listParts,
  savePart,
  uploadsUnder,
} from "./upload-rows.ts";
import type { Part, Upload } from "./upload-rows.ts";

type Stores = Pick<Env, "DB" | "BLOBS">;

/** The bucket takes no smaller part, but for the last: https://developers.cloudflare.com/r2/platform/limits/ */
export const MIN_PART_BYTES = 5 * 1024 * 1024;
export const DEFAULT_PART_BYTES = 64 * 1024 * 1024;
/** Below what a request may carry. */
export const MAX_PART_BYTES = 90 * 1024 * 1024;
export const MAX_PARTS = 10_000;
/** R2's own limit for an object is 5 TiB. */
export const MAX_UPLOAD_BYTES = MAX_PARTS * DEFAULT_PART_BYTES;

/**
 * What a step of the sweep needs beside a call for each upload: to find them, to delete their rows, to delete contents.
 */
const SWEEP_CALLS = 3;

const GONE = "The upload was given up or completed meanwhile, or is older than 7 days.";

export type UploadPlan = {
  id: string;
  accountId: string | null;
  key: string;
  name: string;
  contentType: string;
  metadata: Json;
  sizeBytes: number;
  partBytes: number;
};

/**
 * What a completed upload has become. `sha256` is `<hex>-<parts>`: the SHA-256 of the parts' SHA-256 digests, one after
 * the other.
 */
export type Completed = { etag: string; sizeBytes: number; sha256: string };

/** How many parts an upload has. */
export function partCount({ sizeBytes, partBytes }: Pick<Upload, "sizeBytes" | "partBytes">): number {
  return Math.max(1, Math.ceil(sizeBytes / partBytes));
}

/** How many bytes part `number` (from 1) has; 0 when there is no such part, or when it is the only one of nothing. */
export function partSize(upload: Pick<Upload, "sizeBytes" | "partBytes">, number: number): number {
  if (number < 1 || number > partCount(upload)) return 0;
  return Math.min(upload.partBytes, upload.sizeBytes - (number - 1) * upload.partBytes);
}

/** Begins an upload. Throws `quota_exceeded` when its account, or its prediction, has no room for it. */
export async function startUpload(stores: Stores & QuotaVars, plan: UploadPlan): Promise<Upload> {
  const { contentType } = plan;
  const { uploadId } = await stores.BLOBS.createMultipartUpload(plan.key, { httpMetadata: { contentType } });
  const now = Date.now();
  const upload: Upload = { ...plan, multipartId: uploadId, createdAt: now, expiresAt: now + UPLOAD_IDLE_MS };
  if (await insertUpload(stores, upload)) return upload;
  await stores.BLOBS.resumeMultipartUpload(plan.key, uploadId).abort();
  if (plan.accountId !== null) throw quotaExceeded(stores, "uploads", "files", "metadata");
  throw new EdgeplaneError("quota_exceeded", "The prediction has as many uploads of output under way as it may have.");
}

/**
 * Stores a part; one that is there is replaced. The caller has checked that `body` has the part's size. Throws
 * `checksum_mismatch` when the bytes are not those that `expectedSha256` (hex) stands for: then there is no such part,
 * and `not_found` when the upload has ended meanwhile.
 */
export async function putPart(
  stores: Stores,
  upload: Upload,
  number: number,
  body: ReadableStream<Uint8Array> | null,
  expectedSha256: string | null,
): Promise<Part> {
  const sizeBytes = partSize(upload, number);
  const multipart = stores.BLOBS.resumeMultipartUpload(upload.key, upload.multipartId);
  const { stored, sha256 } = await transfer(body, sizeBytes, (content) =>
    multipart.uploadPart(number, content).catch((thrown: unknown) => {
      throw refusalOf(thrown);
    }),
  );
  if (expectedSha256 !== null && expectedSha256 !== sha256) {
    // The bucket has these bytes now, in place of what came before.
    await deletePart(stores.DB, upload.id, number);
    throw new EdgeplaneError("checksum_mismatch", `Part ${number} has the SHA-256 ${sha256}, not ${expectedSha256}.`);
  }
  const part: Part = { number, sizeBytes, etag: stored.etag, sha256 };
  if (await savePart(stores.DB, upload.id, part, Date.now())) return part;
  throw new EdgeplaneError("not_found", GONE);
}

/** The numbers of the parts that have not arrived. */
export function missingParts(upload: Upload, parts: readonly Part[]): number[] {
  const there = new Set(parts.map(({ number }) => number));
  return Array.from({ length: partCount(upload) }, (_, index) => index + 1).filter((number) => !there.has(number));
}

/**
 * Makes an object of the parts. Throws `upload_incomplete` when some are missing, and `not_found` when the upload has
 * ended meanwhile. The rows stay until the caller has noted the object.
 */
export async function completeUpload(stores: Stores, upload: Upload): Promise<Completed> {
  const parts = await listParts(stores.DB, upload.id);
  const missing = missingParts(upload, parts);
  if (missing.length > 0) throw incomplete(missing);
  const multipart = stores.BLOBS.resumeMultipartUpload(upload.key, upload.multipartId);
  const sha256 = await compositeSha256(parts);
  try {
    const uploaded = parts.map(({ number, etag }) => ({ partNumber: number, etag }));
    const object = await multipart.complete(uploaded);
    return { etag: object.etag, sizeBytes: object.size, sha256 };
  } catch (thrown) {
    // A call before this one may have completed it without having come to its end.
    const object = await stores.BLOBS.head(upload.key);
    if (object === null || object.size !== upload.sizeBytes) throw refusalOf(thrown);
    return { etag: object.etag, sizeBytes: object.size, sha256 };
  }
}

/**
 * Gives an upload up: its parts go. What a client's upload became goes too, as long as no file is made of it. Under a
 * pool's key there may be what another upload brought: that goes with its prediction.
 */
export async function abortUpload(stores: Stores, upload: Upload): Promise<void> {
  await abortParts(stores, upload);
  const wasThere = await deleteUploadRows(stores.DB, upload.id);
  if (wasThere && upload.accountId !== null) await stores.BLOBS.delete(upload.key);
}

async function abortParts({ BLOBS }: Pick<Env, "BLOBS">, { key, multipartId }: Upload): Promise<void> {
  try {
    await BLOBS.resumeMultipartUpload(key, multipartId).abort();
  } catch (thrown) {
    if (!isUnknownUpload(thrown)) throw thrown;
  }
}

/** Gives up the uploads whose content would lie under `prefix`: all, or those whose key is `chosen`. */
export async function abortUploadsUnder(
  stores: Stores,
  prefix: string,
  chosen: (key: string) => boolean = () => true,
): Promise<void> {
  for (const upload of await uploadsUnder(stores.DB, prefix)) {
    if (chosen(upload.key)) await abortUpload(stores, upload);
  }
}

/**
 * Gives up uploads that were abandoned, each with a call of the bucket. One that can't be is tried again by the next
 * run.
 */
export async function sweepUploads(stores: Stores, maxCalls: number): Promise<SweepStep> {
  if (maxCalls <= SWEEP_CALLS) return { calls: 0, more: true };
  const abandoned = await abandonedUploads(stores.DB, Date.now(), maxCalls - SWEEP_CALLS);
  if (abandoned.length === 0) return { calls: 1, more: false };
  const aborted = await Promise.allSettled(abandoned.map((upload) => abortParts(stores, upload)));
  const over = abandoned.filter((_, index) => aborted[index]?.status === "fulfilled");
  const deleted = await deleteUploads(stores.DB, over);
  const contents = deleted.flatMap(({ accountId, key }) => (accountId === null ? [] : [key]));
  if (contents.length > 0) await stores.BLOBS.delete(contents);
  const failed = aborted.find((outcome) => outcome.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  return { calls: abandoned.length + SWEEP_CALLS, more: true };
}

async function compositeSha256(parts: readonly Part[]): Promise<string> {
  const digests = parts.flatMap(({ sha256 }) => sha256.match(/../g) ?? []);
  const bytes = Uint8Array.from(digests, (pair) => Number.parseInt(pair, 16));
  return `${toHex(await crypto.subtle.digest("SHA-256", bytes))}-${parts.length}`;
}

/** What the caller is told of the bucket's refusal. */
function refusalOf(thrown: unknown): unknown {
  const code = bucketCode(thrown);
  if (code === "10024") {
    return new EdgeplaneError("not_found", GONE, { cause: thrown });
  }
  if (code === "10025") {
    const detail = "A part was replaced by another call while it was noted: send the parts again that you sent twice.";
    return new EdgeplaneError("upload_incomplete", detail, { cause: thrown });
  }
  return thrown;
}

function bucketCode(thrown: unknown): string | undefined {
  return thrown instanceof Error ? /\((\d{5})\)/.exec(thrown.message)?.[1] : undefined;
}

/**
 * The bucket has given it up already, or made an object of it. https://developers.cloudflare.com/r2/api/error-codes/
 */
function isUnknownUpload(thrown: unknown): boolean {
  return ["10024", "10048", "10001"].includes(bucketCode(thrown) ?? "");
}

function incomplete(missing: readonly number[]): EdgeplaneError {
  const some = missing.slice(0, 20).join(", ");
  const rest = missing.length > 20 ? ` and ${missing.length - 20} more` : "";
  return new EdgeplaneError("upload_incomplete", `These parts have not arrived: ${some}${rest}.`);
}
