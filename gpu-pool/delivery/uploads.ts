/**
 * What is too big for an event, and files that a model made, go up as blobs: streamed, under the claim's token.
 * `PUT /pool/v1/blobs/{id}/{token}/{name}` answers `{key, url}`: events name large outputs by key; a file's place in the
 * output is taken by its URL.
 */
import { createReadStream } from "node:fs";
import { rm, stat } from "node:fs/promises";
import { basename } from "node:path";
import * as z from "zod";
import type { ClaimRef } from "../../src/contract/channel.ts";
import type { Json } from "../../src/contract/prediction.ts";
import { createBackoff } from "../scheduling/backoff.ts";
import { StatusError } from "../transport/http-client.ts";
import type { HttpClient, HttpRequest } from "../transport/http-client.ts";

/** An output of more JSON than this goes up as a blob. */
export const INLINE_OUTPUT_BYTES = 256 * 1024;
const UPLOAD_TIMEOUT_MS = 300_000;
/** How long uploads go on trying while the edge is away; a file can't wait in the spool for ever. */
const GIVE_UP_AFTER_MS = 600_000;

const PutReplySchema = z.object({ key: z.string(), url: z.string() });
const FileSchema = z.object({ $file: z.string(), mediaType: z.string().optional() });

export type Uploads = {
  /** Uploads a large output and returns its key. Throws `StatusError` or `TransportError` when it can't be. */
  output(claim: ClaimRef, text: string): Promise<string>;
  /**
   * Uploads each `{"$file"}` in `value` and returns `value` with URLs in their places. Files in `scratchDir` are deleted, and their URLs kept
   * until `forget`: the end of a stream names again what its chunks named.
   */
  files(claim: ClaimRef, value: Json, scratchDir: string): Promise<Json>;
  forget(claim: ClaimRef): void;
};

export function createUploads(http: HttpClient): Uploads {
  let counter = 0;
  /** By token, then by path. */
  const uploaded = new Map<string, Map<string, Promise<string>>>();

  async function put(
    claim: ClaimRef,
    name: string,
    make: () => Partial<HttpRequest>,
  ): Promise<z.infer<typeof PutReplySchema>> {
    const backoff = createBackoff({ firstMs: 100, capMs: 2000 });
    const startedAtMs = performance.now();
    for (;;) {
      try {
        const path = `/pool/v1/blobs/${claim.id}/${claim.token}/${encodeURIComponent(name)}`;
        return PutReplySchema.parse(await http.json({ method: "PUT", path, timeoutMs: UPLOAD_TIMEOUT_MS, ...make() }));
      } catch (error) {
        const final = (error instanceof StatusError && !error.mayHeal) || error instanceof z.ZodError;
        if (final || performance.now() - startedAtMs > GIVE_UP_AFTER_MS) throw error;
        await new Promise((resolve) => setTimeout(resolve, backoff.nextMs()));
      }
    }
  }

  async function putFile(claim: ClaimRef, file: z.infer<typeof FileSchema>, scratchDir: string): Promise<string> {
    const { size } = await stat(file.$file);
    counter += 1;
    const name = `${counter}-${basename(file.$file)
      .replaceAll(/[^\w.-]/g, "_")
      .slice(-100)}`;
    const { url } = await put(claim, name, () => ({
      body: createReadStream(file.$file),
      headers: { "content-type": file.mediaType ?? "application/octet-stream", "content-length": String(size) },
    }));
    if (file.$file.startsWith(`${scratchDir}/`)) await rm(file.$file, { force: true });
    return url;
  }

  /** A file elsewhere is the model's own and may have changed since: it goes up each time. */
  function urlOf(claim: ClaimRef, file: z.infer<typeof FileSchema>, scratchDir: string): Promise<string> {
    if (!file.$file.startsWith(`${scratchDir}/`)) return putFile(claim, file, scratchDir);
    const urls = uploaded.get(claim.token) ?? new Map<string, Promise<string>>();
    uploaded.set(claim.token, urls);
    const url = urls.get(file.$file) ?? putFile(claim, file, scratchDir);
    urls.set(file.$file, url);
    return url;
  }

  return {
    async output(claim, text) {
      const body = Buffer.from(text);
      const { key } = await put(claim, "output.json", () => ({
        body,
        headers: { "content-type": "application/json" },
      }));
      return key;
    },
    async files(claim, value, scratchDir) {
      const walk = async (part: Json): Promise<Json> => {
        if (part === null || typeof part !== "object") return part;
        if (Array.isArray(part)) return Promise.all(part.map(walk));
        const file = FileSchema.safeParse(part);
        if (file.success) return urlOf(claim, file.data, scratchDir);
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
