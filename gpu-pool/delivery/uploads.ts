/**
 * What is too big for an event, and files that a model made, go up as blobs: streamed, under the claim's token.
 * `PUT /pool/v1/blobs/{id}/{token}/{blob}` answers `{key, url}`: events name large outputs by key; a file's place in
 * the output is taken by its URL, which ends with the file's own name (`?name=`). What is larger than a part goes up in
 * parts (`POST …/{blob}/uploads`).
 */
import { createReadStream } from "node:fs";
import { rm, stat } from "node:fs/promises";
import { basename, resolve, sep } from "node:path";
import * as z from "zod";
import type { ClaimRef } from "../../src/contract/channel.ts";
import type { Json } from "../../src/contract/prediction.ts";
import type { Origin } from "../runtime/prediction.ts";
import { createBackoff } from "../scheduling/backoff.ts";
import { StatusError } from "../transport/http-client.ts";
import type { HttpClient, HttpRequest } from "../transport/http-client.ts";
import { dropConfined, openConfined } from "../transport/confined-file.ts";
import { createFairLimiter } from "../transport/fair-limiter.ts";

/** An output of more JSON than this goes up as a blob. */
export const INLINE_OUTPUT_BYTES = 256 * 1024;
const UPLOAD_TIMEOUT_MS = 300_000;
/** How long uploads go on trying while the edge is away; a file can't wait in the spool for ever. */
const GIVE_UP_AFTER_MS = 600_000;

/** A file that is larger goes up in parts of this size. */
const PARTS_ABOVE_BYTES = 64 * 1024 * 1024;
const PARTS_AT_ONCE = 2;
/** Each holds a file handle and a connection. */
const FILES_AT_ONCE = 16;
const READ_BYTES = 256 * 1024;

const PutReplySchema = z.object({ key: z.string(), url: z.string() });
type PutReply = z.infer<typeof PutReplySchema>;
const StartReplySchema = z.object({
  upload: z.string(),
  part_size: z.number().int().positive(),
  part_count: z.number().int().positive(),
});
const PartReplySchema = z.object({ part_number: z.number() });
const FileSchema = z.object({ $file: z.string(), mediaType: z.string().optional(), mark: z.string() });

export type Uploads = {
  /** Uploads a large output and returns its key. Throws `StatusError` or `TransportError` when it can't be. */
  output(claim: ClaimRef, text: string): Promise<string>;
  /**
   * Uploads each `{"$file"}` in `value` that bears the mark of its process, and returns `value` with URLs in their
   * places: one without it is a client's words that the model gave back. Files in `scratchDir` are deleted, and their
   * URLs kept until `forget`: the end of a stream names again what its chunks named.
   */
  files(claim: ClaimRef, value: Json, origin: Origin): Promise<Json>;
  forget(claim: ClaimRef): void;
};

export function createUploads(http: HttpClient): Uploads {
  const inTurn = createFairLimiter(FILES_AT_ONCE);
  let counter = 0;
  /** By token, then by path. */
  const uploaded = new Map<string, Map<string, Promise<string>>>();

  /** Calls until it is answered well, or will not be. */
  async function persist<T>(schema: z.ZodType<T>, make: () => Omit<HttpRequest, "timeoutMs">): Promise<T> {
    const backoff = createBackoff({ firstMs: 100, capMs: 2000 });
    const startedAtMs = performance.now();
    for (;;) {
      try {
        return schema.parse(await http.json({ timeoutMs: UPLOAD_TIMEOUT_MS, ...make() }));
      } catch (error) {
        const final = (error instanceof StatusError && !error.mayHeal) || error instanceof z.ZodError;
        if (final || performance.now() - startedAtMs > GIVE_UP_AFTER_MS) throw error;
        await new Promise((resolve) => setTimeout(resolve, backoff.nextMs()));
      }
    }
  }

  /** A file that is larger than a part goes up in parts, two at a time: each can be sent again alone. */
  async function putParts(
    { path, name }: { path: string; name: string },
    file: string,
    contentType: string,
    sizeBytes: number,
  ): Promise<PutReply> {
    const plan = JSON.stringify({ size: sizeBytes, content_type: contentType });
    const json = { "content-type": "application/json" };
    const start = { method: "POST", path: `${path}/uploads`, headers: json, body: plan } as const;
    const { upload, part_size: partBytes, part_count: count } = await persist(StartReplySchema, () => start);
    const at = `${path}/uploads/${upload}`;
    let next = 1;
    const send = async (): Promise<void> => {
      for (let number = next; number <= count; number = next) {
        next += 1;
        const from = (number - 1) * partBytes;
        const length = Math.min(partBytes, sizeBytes - from);
        await persist(PartReplySchema, () => ({
          method: "PUT",
          path: `${at}/parts/${number}`,
          headers: { "content-length": String(length) },
          body: createReadStream(file, { start: from, end: from + length - 1, highWaterMark: READ_BYTES }),
        }));
      }
    };
    try {
      await Promise.all(Array.from({ length: PARTS_AT_ONCE }, send));
      return await persist(PutReplySchema, () => ({ method: "POST", path: `${at}/complete${name}` }));
    } catch (error) {
      next = count + 1;
      await http.request({ method: "DELETE", path: at, timeoutMs: UPLOAD_TIMEOUT_MS }).catch(() => {});
      throw error;
    }
  }

  async function putFile(claim: ClaimRef, file: z.infer<typeof FileSchema>, origin: Origin): Promise<string> {
    const { scratchDir, isConfined } = origin;
    if (!isConfined) {
      const url = await putSource(claim, file, file.$file);
      if (isIn(scratchDir, file.$file)) await rm(file.$file, { force: true });
      return url;
    }
    const handle = await openConfined(file.$file, scratchDir);
    try {
      // The file that was looked at, whatever its process puts in its place meanwhile.
      return await putSource(claim, file, `/proc/self/fd/${handle.fd}`);
    } finally {
      await handle.close();
      await dropConfined(file.$file, scratchDir);
    }
  }

  /** `source`: where its bytes are read. */
  async function putSource(claim: ClaimRef, file: z.infer<typeof FileSchema>, source: string): Promise<string> {
    const { size } = await stat(source);
    counter += 1;
    const path = pathOf(claim, String(counter));
    const name = `?name=${encodeURIComponent(basename(file.$file))}`;
    const contentType = file.mediaType ?? "application/octet-stream";
    const { url } =
      size > PARTS_ABOVE_BYTES
        ? await putParts({ path, name }, source, contentType, size)
        : await persist(PutReplySchema, () => ({
            method: "PUT",
            path: `${path}${name}`,
            headers: { "content-type": contentType, "content-length": String(size) },
            body: createReadStream(source, { highWaterMark: READ_BYTES }),
          }));
    return url;
  }

  /** A file elsewhere is the model's own and may have changed since: it goes up each time. */
  function urlOf(claim: ClaimRef, file: z.infer<typeof FileSchema>, origin: Origin): Promise<string> {
    const { scratchDir } = origin;
    const put = () => inTurn(claim.token, () => putFile(claim, file, origin));
    if (!isIn(scratchDir, file.$file)) return put();
    const urls = uploaded.get(claim.token) ?? new Map<string, Promise<string>>();
    uploaded.set(claim.token, urls);
    const url = urls.get(file.$file) ?? put();
    urls.set(file.$file, url);
    return url;
  }

  return {
    async output(claim, text) {
      const [path, body] = [pathOf(claim, "output.json"), Buffer.from(text)];
      const headers = { "content-type": "application/json" };
      const { key } = await persist(PutReplySchema, () => ({ method: "PUT", path, headers, body }));
      return key;
    },
    async files(claim, value, origin) {
      const walk = async (part: Json): Promise<Json> => {
        if (part === null || typeof part !== "object") return part;
        if (Array.isArray(part)) return Promise.all(part.map(walk));
        const file = FileSchema.safeParse(part);
        if (file.success && file.data.mark === origin.fileMark) return urlOf(claim, file.data, origin);
        const entries = await Promise.all(
          Object.entries(part).map(async ([key, inner]) => [key, await walk(inner)] as const),
        );
        return Object.fromEntries(entries);
      };
      return walk(value);
    },
    forget: (claim) => void uploaded.delete(claim.token),
  };
}

/** The files that `value` names, of those that its process left in its own folder: they go when they are uploaded. */
export function leftFiles(value: Json, { scratchDir, fileMark }: Origin): string[] {
  const found: string[] = [];
  // However deep it is nested: its files must go even where nothing else can be done with it.
  const parts: Json[] = [value];
  for (let part = parts.pop(); part !== undefined; part = parts.pop()) {
    if (part === null || typeof part !== "object") continue;
    const file = Array.isArray(part) ? null : FileSchema.safeParse(part);
    if (file?.success !== true || file.data.mark !== fileMark)
      for (const inner of Object.values(part)) parts.push(inner);
    else if (isIn(scratchDir, file.data.$file)) found.push(file.data.$file);
  }
  return found;
}

function isIn(folder: string, path: string): boolean {
  return resolve(path).startsWith(folder + sep);
}

function pathOf(claim: ClaimRef, blob: string): string {
  return `/pool/v1/blobs/${claim.id}/${claim.token}/${blob}`;
}
