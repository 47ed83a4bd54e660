/**
 * `/pool/v1/blobs/{id}/{token}/{name}`: a claim's input is read, its output is written. Both demand that the claim is
 * the prediction's latest: a pool whose claim was lost reads and writes nothing.
 */
import { Hono } from "hono";
import * as z from "zod";
import type { ZodOpenApiRequestBodyObject } from "zod-openapi";
import { isPredictionId } from "../../contract/ids.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import { JsonSchema } from "../../contract/prediction.ts";
import { inputBlobKey, isBlobName, outputBlobPrefix } from "../../storage/blobs.ts";
import { signLink } from "../../contract/signed-links.ts";
import { transfer } from "../../storage/transfer.ts";
import { deleteUploadRows, findUpload } from "../../storage/upload-rows.ts";
import type { Upload } from "../../storage/upload-rows.ts";
import {
  DEFAULT_PART_BYTES,
  MAX_UPLOAD_BYTES,
  abortUpload,
  completeUpload,
  partCount,
  startUpload,
} from "../../storage/uploads.ts";
import type { App, AppContext, ShardPort } from "../app.ts";
import { empty, json, operation } from "../operation.ts";
import { outputPath } from "../outputs.ts";
import { PartHeaderSchema, PartNumberSchema, PartViewSchema, receivePart, showPart } from "../part-request.ts";
import { MAX_REQUEST_BYTES, requiredBytes } from "../request-size.ts";

const DEFAULT_TYPE = "application/octet-stream";
const MAX_NAME_CHARS = 255;

const bytes: ZodOpenApiRequestBodyObject = {
  required: true,
  content: { "*/*": { schema: { type: "string", format: "binary" } } },
};

const BlobPathSchema = z.object({
  id: z.string().meta({ description: "The prediction's id." }),
  token: z.string().meta({ description: "The claim's token." }),
  name: z.string().meta({ description: "`input`, or the claim's own name of an output." }),
});
type BlobPath = z.output<typeof BlobPathSchema>;

/** A name that can be the last part of a link; of a long one the end. */
const NameQuerySchema = z.object({
  name: z
    .string()
    .optional()
    .transform((name) => (name === undefined || /^\.{0,2}$/.test(name) ? undefined : name.slice(-MAX_NAME_CHARS)))
    .meta({ description: "The file's own name, which its link ends with.", examples: ["mask.png"] }),
});

const UploadPathSchema = BlobPathSchema.extend({ upload: z.string().meta({ description: "The upload's id." }) });
const PartPathSchema = UploadPathSchema.extend({ number: PartNumberSchema });

const StartSchema = z.object({
  size: z.number().int().min(1).max(MAX_UPLOAD_BYTES).meta({ description: "Bytes of the whole file." }),
  content_type: z.string().min(1).max(255).optional(),
});

const BlobUploadSchema = z.object({
  upload: z.string().meta({ description: "The upload's id." }),
  part_size: z.number().int().meta({ description: "Bytes of each part but the last." }),
  part_count: z.number().int(),
});

const StoredBlobSchema = z.object({
  key: z.string(),
  url: z.string().meta({ description: "A signed link to it." }),
});

export function blobRoutes(shard: ShardPort): Hono<App> {
  const routes = new Hono<App>();

  routes.get(
    "/:id/:token/:name",
    operation(
      {
        id: "getInputBlob",
        tag: "Pools",
        summary: "Read a large input",
        access: "pool",
        path: BlobPathSchema,
        answers: { 200: json(JsonSchema, "The input.") },
        errors: ["forbidden"],
      },
      async (c, { path }) => {
        await checkClaim(c, shard, path);
        const object = path.name === "input" ? await c.env.BLOBS.get(inputBlobKey(path.id)) : null;
        if (object === null) throw new EdgeplaneError("not_found", "The input is gone.");
        return new Response(object.body, {
          headers: { "content-type": "application/json", "content-length": String(object.size) },
        });
      },
    ),
  );

  routes.put(
    "/:id/:token/:name",
    operation(
      {
        id: "putOutputBlob",
        tag: "Pools",
        summary: "Write an output file, or a large output",
        description: "100 MB at most; a larger one goes up in parts.",
        access: "pool",
        path: BlobPathSchema,
        query: NameQuerySchema,
        rawBody: bytes,
        answers: { 201: json(StoredBlobSchema, "It is stored.") },
        errors: ["forbidden", "length_required", "payload_too_large"],
      },
      async (c, { path, query }) => {
        await checkClaim(c, shard, path);
        const sizeBytes = requiredBytes(c.req.raw);
        if (sizeBytes > MAX_REQUEST_BYTES) {
          const detail = `A request carries a blob of at most ${MAX_REQUEST_BYTES} bytes. A larger one goes up in parts.`;
          throw new EdgeplaneError("payload_too_large", detail);
        }
        const contentType = c.req.header("content-type") ?? DEFAULT_TYPE;
        await transfer(c.req.raw.body, sizeBytes, (content) =>
          c.env.BLOBS.put(keyOf(path), content, { httpMetadata: { contentType } }),
        );
        return answerStored(c, shard, path, query.name);
      },
    ),
  );

  routes.post(
    "/:id/:token/:name/uploads",
    operation(
      {
        id: "startOutputUpload",
        tag: "Pools",
        summary: "Begin to write an output file in parts",
        access: "pool",
        path: BlobPathSchema,
        body: { schema: StartSchema },
        answers: { 201: json(BlobUploadSchema, "Send the parts, in any order.") },
        errors: ["forbidden", "quota_exceeded"],
      },
      async (c, { path, body }) => {
        await checkClaim(c, shard, path);
        const upload = await startUpload(c.env, {
          id: crypto.randomUUID(),
          accountId: null,
          key: keyOf(path),
          name: path.name,
          contentType: body.content_type ?? DEFAULT_TYPE,
          metadata: {},
          sizeBytes: body.size,
          partBytes: DEFAULT_PART_BYTES,
        });
        return c.json({ upload: upload.id, part_size: upload.partBytes, part_count: partCount(upload) }, 201);
      },
    ),
  );

  routes.put(
    "/:id/:token/:name/uploads/:upload/parts/:number",
    operation(
      {
        id: "putOutputPart",
        tag: "Pools",
        summary: "Write a part of an output file",
        access: "pool",
        path: PartPathSchema,
        header: PartHeaderSchema,
        rawBody: bytes,
        answers: { 200: json(PartViewSchema, "The part has arrived.") },
        errors: ["forbidden", "length_required", "invalid_request", "checksum_mismatch"],
      },
      async (c, { path }) => {
        await checkClaim(c, shard, path);
        const upload = await uploadOf(c, path);
        return c.json(showPart(await receivePart(c.env, upload, path.number, c.req.raw)));
      },
    ),
  );

  routes.post(
    "/:id/:token/:name/uploads/:upload/complete",
    operation(
      {
        id: "completeOutputUpload",
        tag: "Pools",
        summary: "Make an output file of its parts",
        description: "Called again, it answers the same.",
        access: "pool",
        path: UploadPathSchema,
        query: NameQuerySchema,
        answers: { 201: json(StoredBlobSchema, "It is stored.") },
        errors: ["forbidden", "upload_incomplete"],
      },
      async (c, { path, query }) => {
        await checkClaim(c, shard, path);
        const upload = await findUpload(c.env.DB, null, path.upload);
        if (upload?.key === keyOf(path)) {
          await completeUpload(c.env, upload);
          await deleteUploadRows(c.env.DB, upload.id);
        } else if ((await c.env.BLOBS.head(keyOf(path))) === null) throw noUpload();
        return answerStored(c, shard, path, query.name);
      },
    ),
  );

  routes.delete(
    "/:id/:token/:name/uploads/:upload",
    operation(
      {
        id: "abortOutputUpload",
        tag: "Pools",
        summary: "Give up writing an output file in parts",
        access: "pool",
        path: UploadPathSchema,
        answers: { 204: empty("Its parts are gone.") },
        errors: ["forbidden"],
      },
      async (c, { path }) => {
        await checkClaim(c, shard, path);
        await abortUpload(c.env, await uploadOf(c, path));
        return c.body(null, 204);
      },
    ),
  );

  return routes;
}

function keyOf({ id, token, name }: BlobPath): string {
  return `${outputBlobPrefix(id, token)}${name}`;
}

async function uploadOf(c: AppContext, path: z.output<typeof UploadPathSchema>): Promise<Upload> {
  const upload = await findUpload(c.env.DB, null, path.upload);
  if (upload?.key === keyOf(path)) return upload;
  throw noUpload();
}

function noUpload(): EdgeplaneError {
  return new EdgeplaneError("not_found", "There is no such upload under way.");
}

/**
 * The claim may have been lost while the content came: then it goes again, and nobody learns of it. While nobody can
 * say it stays.
 */
async function answerStored(
  c: AppContext,
  shard: ShardPort,
  path: BlobPath,
  name: string | undefined,
): Promise<Response> {
  let keptUntil: number;
  try {
    keptUntil = await checkClaim(c, shard, path);
  } catch (thrown) {
    if (thrown instanceof EdgeplaneError) await c.env.BLOBS.delete(keyOf(path));
    throw thrown;
  }
  const address = outputPath({ id: path.id, token: path.token, blob: path.name, name });
  const query = await signLink(c.env.EDGEPLANE_SECRET, "blob", address, keptUntil);
  return c.json({ key: keyOf(path), url: `${new URL(c.req.url).origin}${address}?${query}` }, 201);
}

/** Until when what the claim stores is kept at most. Throws `not_found` and `forbidden`. */
async function checkClaim(c: AppContext, shard: ShardPort, { id, token, name }: BlobPath): Promise<number> {
  const wellFormed = isPredictionId(id, Number(c.env.SHARD_COUNT)) && /^[0-9a-f]{32}$/.test(token) && isBlobName(name);
  if (!wellFormed) throw new EdgeplaneError("not_found", "A blob is named `{prediction}/{token}/{name}`.");
  const keptUntil = await shard.verifyClaim(c.env, id, token);
  if (keptUntil !== null) return keptUntil;
  throw new EdgeplaneError("forbidden", "The claim is not the prediction's latest, or the prediction has ended.");
}
