/**
 * The bucket of the local stack: what of R2's API the Worker uses, on a folder of this machine through workerd's disk
 * service. Miniflare's own simulator hashes and copies in pieces of 4 KiB: it carries 80 MB/s, and a gigabyte of memory
 * with it. The same suite runs against both (test/conformance/blobs).
 */
import { ORPHANED_AFTER_MS } from "../blobs.ts";
import { piecesOf, toHex } from "../transfer.ts";
import type { Condition, LocalBucketIndex, ObjectRecord, Piece } from "./bucket-index.ts";

type LocalBindings = { BLOB_CONTENT: Fetcher; BLOB_INDEX: DurableObjectNamespace<LocalBucketIndex> };
type Content = Parameters<R2Bucket["put"]>[1];
type Range = { offset: number; length: number };

/** Files that one sweep looks at. */
const SWEPT_FILES = 1000;

const made = new WeakMap<object, object>();

/** `env` with the local bucket in place of R2's. */
export function withLocalBucket<Env extends LocalBindings>(env: Env): Env & { BLOBS: R2Bucket } {
  const known = made.get(env) ?? { ...env, BLOBS: createLocalBucket(env) };
  made.set(env, known);
  return known as Env & { BLOBS: R2Bucket };
}

/** The bucket on these bindings. What the Worker does not use of R2's API throws. */
export function createLocalBucket({ BLOB_CONTENT, BLOB_INDEX }: LocalBindings): R2Bucket {
  // A stub belongs to the request that made it.
  const index = () => BLOB_INDEX.getByName("bucket");
  const files = createFiles(BLOB_CONTENT);

  async function drop(unused: readonly string[]): Promise<void> {
    await Promise.all(unused.map((file) => files.remove(file)));
  }

  const bucket = {
    async head(key: string) {
      const record = await index().find(key);
      return record === null ? null : objectOf(record);
    },

    async get(key: string, options: R2GetOptions = {}) {
      const record = await index().find(key);
      if (record === null) return null;
      const range = rangeOf(options.range, record.size);
      return bodyOf(record, files.read(record.pieces, range), range);
    },

    async put(key: string, content: Content, options: R2PutOptions = {}) {
      const piece = await files.write(content);
      if (options.sha256 !== undefined && (await files.sha256(piece)) !== hexOf(options.sha256)) {
        await drop([piece.file]);
        throw new Error("put: The SHA-256 checksum you specified did not match what we received. (10037)");
      }
      const record: ObjectRecord = {
        key,
        version: crypto.randomUUID(),
        size: piece.size,
        etag: crypto.randomUUID().replaceAll("-", ""),
        uploadedAt: Date.now(),
        httpMetadata: metadataOf(options.httpMetadata),
        customMetadata: options.customMetadata ?? {},
        pieces: [piece],
      };
      const { stored, unused } = await index().put(record, conditionOf(options.onlyIf));
      await drop(unused);
      return stored ? objectOf(record) : null;
    },

    async delete(keys: string | string[]) {
      await drop(await index().remove([keys].flat()));
    },

    async list({ prefix = "", startAfter = "", cursor = startAfter, limit = 1000 }: R2ListOptions = {}) {
      const found = await index().list(prefix, cursor, limit + 1);
      const objects = found.slice(0, limit).map(objectOf);
      const truncated = found.length > limit;
      return { objects, truncated, delimitedPrefixes: [], ...(truncated ? { cursor: objects.at(-1)?.key ?? "" } : {}) };
    },

    async createMultipartUpload(key: string, options: R2MultipartOptions = {}) {
      const id = crypto.randomUUID();
      const { customMetadata = {} } = options;
      await index().startUpload(id, key, { httpMetadata: metadataOf(options.httpMetadata), customMetadata });
      return bucket.resumeMultipartUpload(key, id);
    },

    resumeMultipartUpload: (key: string, uploadId: string) => ({
      key,
      uploadId,
      async uploadPart(partNumber: number, content: Content) {
        const piece = await files.write(content);
        const etag = crypto.randomUUID().replaceAll("-", "");
        try {
          await drop(await index().putPart(uploadId, key, partNumber, piece, etag));
        } catch (thrown) {
          await drop([piece.file]);
          throw thrown;
        }
        return { partNumber, etag };
      },
      async complete(parts: R2UploadedPart[]) {
        const { record, unused } = await index().complete(uploadId, key, parts);
        await drop(unused);
        return objectOf(record);
      },
      async abort() {
        await drop(await index().abort(uploadId, key));
      },
    }),
  };
  return bucket as unknown as R2Bucket;
}

/**
 * Deletes files that nothing names and that are older than `ageMs`, some at a time: who had written them died before
 * they were noted.
 */
export async function sweepContent(
  { BLOB_CONTENT, BLOB_INDEX }: LocalBindings,
  ageMs = ORPHANED_AFTER_MS,
): Promise<void> {
  const files = createFiles(BLOB_CONTENT);
  const unnamed = await BLOB_INDEX.getByName("bucket").unnamed(await files.list(), SWEPT_FILES);
  for (const file of unnamed) {
    const writtenAt = await files.writtenAt(file);
    if (writtenAt !== null && writtenAt <= Date.now() - ageMs) await files.remove(file);
  }
}

/** Files of random names in workerd's disk service: GET (with ranges), PUT and DELETE. */
function createFiles(disk: Fetcher) {
  const urlOf = (file: string) => `http://disk/${file}`;

  /** From body to body, which the runtime does by itself: no byte passes through JavaScript. */
  async function pour(
    pieces: readonly Piece[],
    { offset, length }: Range,
    to: WritableStream<Uint8Array>,
  ): Promise<void> {
    try {
      let start = 0;
      for (const { file, size } of pieces) {
        const first = Math.max(offset - start, 0);
        const last = Math.min(offset + length - start, size) - 1;
        start += size;
        if (first > last) continue;
        const reply = await disk.fetch(urlOf(file), { headers: { range: `bytes=${first}-${last}` } });
        const body: ReadableStream<Uint8Array> | null = reply.body;
        if (body === null || !reply.ok) throw new Error(`a file of the local bucket can't be read (${reply.status})`);
        await body.pipeTo(to, { preventClose: true });
      }
      await to.close();
    } catch (thrown) {
      await to.abort(thrown);
    }
  }

  return {
    async write(content: Content): Promise<Piece> {
      const file = crypto.randomUUID();
      const { status } = await disk.fetch(urlOf(file), { method: "PUT", body: content ?? "" });
      if (status >= 400) throw new Error(`a file of the local bucket can't be written (${status})`);
      const head = await disk.fetch(urlOf(file), { method: "HEAD" });
      return { file, size: Number(head.headers.get("content-length")) };
    },

    /** Of the content as it lies on disk, in hexadecimal. */
    async sha256({ file, size }: Piece): Promise<string> {
      const digest = new crypto.DigestStream("SHA-256");
      const hashing = digest.getWriter();
      if (size > 0) {
        for await (const bytes of piecesOf(this.read([{ file, size }], { offset: 0, length: size })))
          await hashing.write(bytes);
      }
      await hashing.close();
      return toHex(await digest.digest);
    },

    async list(): Promise<string[]> {
      const reply = await disk.fetch(urlOf(""));
      return (await reply.json<{ name: string }[]>()).map(({ name }) => name);
    },

    /** When it was written, in milliseconds since the epoch; null when it is gone. */
    async writtenAt(file: string): Promise<number | null> {
      const { status, headers } = await disk.fetch(urlOf(file), { method: "HEAD" });
      return status === 200 ? Date.parse(headers.get("last-modified") ?? "") : null;
    },

    async remove(file: string): Promise<void> {
      await disk.fetch(urlOf(file), { method: "DELETE" });
    },

    /** The bytes of a range, read as they are taken. */
    read(pieces: readonly Piece[], range: Range): ReadableStream<Uint8Array> {
      const { readable, writable } = new FixedLengthStream(range.length);
      // Who no longer reads ends it; there is nobody to tell.
      pour(pieces, range, writable).catch(() => {});
      return readable;
    },
  };
}

function objectOf(record: ObjectRecord) {
  const { key, version, size, etag, httpMetadata, customMetadata, uploadedAt } = record;
  const shown = { key, version, size, etag, httpMetadata, customMetadata, storageClass: "Standard", checksums: {} };
  return { ...shown, httpEtag: `"${etag}"`, uploaded: new Date(uploadedAt) };
}

function bodyOf(record: ObjectRecord, body: ReadableStream<Uint8Array>, range: Range) {
  const whole = new Response(body);
  return {
    ...objectOf(record),
    range,
    body,
    arrayBuffer: () => whole.arrayBuffer(),
    text: () => whole.text(),
    json: () => whole.json(),
    blob: () => whole.blob(),
  };
}

function rangeOf(range: R2GetOptions["range"], size: number): Range {
  if (range === undefined) return { offset: 0, length: size };
  if (range instanceof Headers || "suffix" in range)
    throw new Error("the local bucket takes ranges as offset and length");
  const { offset = 0, length = size } = range;
  return { offset, length: Math.max(0, Math.min(length, size - offset)) };
}

/** R2 takes checksums as text or as bytes. */
function hexOf(checksum: NonNullable<R2PutOptions["sha256"]>): string {
  if (typeof checksum === "string") return checksum.toLowerCase();
  throw new Error("the local bucket takes checksums in hexadecimal");
}

function metadataOf(metadata: R2HTTPMetadata | Headers | undefined): R2HTTPMetadata {
  return metadata instanceof Headers ? { contentType: metadata.get("content-type") ?? "" } : (metadata ?? {});
}

function conditionOf(condition: R2PutOptions["onlyIf"]): Condition {
  if (condition === undefined) return null;
  if (condition instanceof Headers) throw new Error("the local bucket takes conditions as etags");
  const { etagMatches, etagDoesNotMatch } = condition;
  if (etagMatches !== undefined) return { etag: etagMatches, matches: true };
  return etagDoesNotMatch === undefined ? null : { etag: etagDoesNotMatch, matches: false };
}
