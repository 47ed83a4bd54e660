/**
 * `/v1/uploads`: files that are larger than a request, in parts. Not Replicate's; what comes out is a file as
 * `/v1/files` has it.
 */
import { Hono } from "hono";
import * as z from "zod";
import { EdgeplaneError } from "../../contract/errors.ts";
import { contentKey, createUploadedFile, findFile, newFileId } from "../../registry/files.ts";
import {
  DEFAULT_PART_BYTES,
  MAX_PARTS,
  MAX_PART_BYTES,
  MAX_UPLOAD_BYTES,
  MIN_PART_BYTES,
  abortUpload,
  completeUpload,
  missingParts,
  partCount,
  startUpload,
} from "../../storage/uploads.ts";
import { findUpload, listParts, listUploads } from "../../storage/upload-rows.ts";
import type { Part, Upload } from "../../storage/upload-rows.ts";
import type { App, AppContext } from "../app.ts";
import { empty, json, operation } from "../operation.ts";
import { PartHeaderSchema, PartNumberSchema, PartViewSchema, receivePart, showPart } from "../part-request.ts";
import { FileSchema, MetadataViewSchema, fileLinks, showFile } from "./file-view.ts";
import { DEFAULT_TYPE, MAX_NAME_CHARS, MetadataSchema } from "./receive-file.ts";

const LIST_LIMIT = 100;

const StartSchema = z
  .object({
    name: z.string().min(1).max(MAX_NAME_CHARS),
    size: z.number().int().min(1).max(MAX_UPLOAD_BYTES).meta({ description: "Bytes of the whole file." }),
    content_type: z.string().min(1).max(MAX_NAME_CHARS).optional(),
    metadata: MetadataSchema.optional(),
    part_size: z
      .number()
      .int()
      .min(MIN_PART_BYTES)
      .max(MAX_PART_BYTES)
      .optional()
      .meta({ description: "Bytes of each part but the last: 64 MiB unless named, 5 to 90 MiB." }),
  })
  .refine(({ size, part_size: partBytes = DEFAULT_PART_BYTES }) => size <= partBytes * MAX_PARTS, {
    path: ["part_size"],
    error: `must be larger: a file has at most ${MAX_PARTS} parts`,
  });

const UploadSchema = z
  .object({
    id: z.string().meta({ description: "The upload's id, which becomes the file's." }),
    name: z.string(),
    content_type: z.string(),
    size: z.number().int().meta({ description: "Bytes." }),
    metadata: MetadataViewSchema,
    part_size: z.number().int().meta({ description: "Bytes of each part but the last." }),
    part_count: z.number().int(),
    parts: z.array(PartViewSchema).meta({ description: "The parts that have arrived." }),
    missing_parts: z.array(z.number().int()).meta({ description: "The numbers of those that have not." }),
    created_at: z.iso.datetime(),
    expires_at: z.iso.datetime().meta({ description: "When it is given up, unless another part comes." }),
    urls: z.object({
      get: z.string(),
      part: z.string().meta({ description: "Where part `{part_number}` goes." }),
      complete: z.string(),
    }),
  })
  .meta({ id: "Upload" });

const UploadPathSchema = z.object({ id: z.string().meta({ description: "The upload's id." }) });
const PartPathSchema = UploadPathSchema.extend({ number: PartNumberSchema });

const links = Object.fromEntries(
  ["getUpload", "completeUpload", "abortUpload"].map((operationId) => [
    operationId,
    { operationId, parameters: { id: "$response.body#/id" } },
  ]),
);

export function uploadRoutes(): Hono<App> {
  const routes = new Hono<App>();

  routes.post(
    "/",
    operation(
      {
        id: "startUpload",
        tag: "Files",
        summary: "Begin to upload a file in parts",
        description:
          "For files above 100 MB. Send the parts in any order, several at once, again if one breaks; then complete it.",
        access: "predictions:write",
        body: {
          schema: StartSchema,
          examples: { large: { name: "film.mp4", size: 1_073_741_824, content_type: "video/mp4" } },
        },
        answers: { 201: json(UploadSchema, "The upload, without any part.", { links }) },
        errors: ["quota_exceeded"],
      },
      async (c, { body }) => {
        const id = newFileId();
        const upload = await startUpload(c.env, {
          id,
          accountId: c.get("principal").accountId,
          key: contentKey(id),
          name: body.name,
          contentType: body.content_type ?? DEFAULT_TYPE,
          metadata: body.metadata ?? {},
          sizeBytes: body.size,
          partBytes: body.part_size ?? DEFAULT_PART_BYTES,
        });
        return c.json(showUpload(c, upload, []), 201);
      },
    ),
  );

  routes.get(
    "/",
    operation(
      {
        id: "listUploads",
        tag: "Files",
        summary: "List the account's uploads that are under way",
        description: "The newest 100.",
        access: "predictions:read",
        answers: { 200: json(z.object({ results: z.array(UploadSchema) }), "The uploads.") },
      },
      async (c) => {
        const uploads = await listUploads(c.env.DB, c.get("principal").accountId, LIST_LIMIT);
        const shown = uploads.map(async (upload) => showUpload(c, upload, await listParts(c.env.DB, upload.id)));
        return c.json({ results: await Promise.all(shown) });
      },
    ),
  );

  routes.get(
    "/:id",
    operation(
      {
        id: "getUpload",
        tag: "Files",
        summary: "Read which parts of an upload have arrived",
        access: "predictions:read",
        path: UploadPathSchema,
        answers: { 200: json(UploadSchema, "The upload.", { links }) },
      },
      async (c, { path }) => {
        const upload = await ownUpload(c, path.id);
        return c.json(showUpload(c, upload, await listParts(c.env.DB, upload.id)));
      },
    ),
  );

  routes.put(
    "/:id/parts/:number",
    operation(
      {
        id: "putUploadPart",
        tag: "Files",
        summary: "Send a part",
        description: "The bytes alone, with their `Content-Length`. A part that is there already is replaced.",
        access: "predictions:write",
        path: PartPathSchema,
        header: PartHeaderSchema,
        rawBody: { required: true, content: { "*/*": { schema: { type: "string", format: "binary" } } } },
        answers: { 200: json(PartViewSchema, "The part has arrived.") },
        errors: ["length_required", "invalid_request", "checksum_mismatch"],
      },
      async (c, { path }) => {
        const upload = await ownUpload(c, path.id);
        return c.json(showPart(await receivePart(c.env, upload, path.number, c.req.raw)));
      },
    ),
  );

  routes.post(
    "/:id/complete",
    operation(
      {
        id: "completeUpload",
        tag: "Files",
        summary: "Make a file of an upload whose parts have all arrived",
        description: "Called again, it answers the same file.",
        access: "predictions:write",
        path: UploadPathSchema,
        answers: { 201: json(FileSchema, "The file.", { links: fileLinks }) },
        errors: ["upload_incomplete"],
      },
      async (c, { path }) => {
        const { accountId } = c.get("principal");
        const file = (await findFile(c.env.DB, accountId, path.id)) ?? (await makeFile(c, await ownUpload(c, path.id)));
        return c.json(await showFile(c, file), 201);
      },
    ),
  );

  routes.delete(
    "/:id",
    operation(
      {
        id: "abortUpload",
        tag: "Files",
        summary: "Give an upload up",
        description: "Its parts are deleted.",
        access: "predictions:write",
        path: UploadPathSchema,
        answers: { 204: empty("It is gone.") },
      },
      async (c, { path }) => {
        await abortUpload(c.env, await ownUpload(c, path.id));
        return c.body(null, 204);
      },
    ),
  );

  return routes;
}

async function ownUpload(c: AppContext, id: string): Promise<Upload> {
  const upload = await findUpload(c.env.DB, c.get("principal").accountId, id);
  if (upload !== null) return upload;
  throw noSuchUpload();
}

function noSuchUpload(): EdgeplaneError {
  return new EdgeplaneError("not_found", "There is no such upload under way.");
}

async function makeFile(c: AppContext, upload: Upload) {
  const { id, name, contentType, metadata } = upload;
  const completed = await completeUpload(c.env, upload);
  const whole = { id, name, contentType, metadata, ...completed };
  const file = await createUploadedFile(c.env.DB, c.get("principal"), whole);
  if (file === null) throw noSuchUpload();
  return file;
}

function showUpload(c: AppContext, upload: Upload, parts: readonly Part[]): z.output<typeof UploadSchema> {
  const self = `${new URL(c.req.url).origin}/v1/uploads/${upload.id}`;
  return {
    id: upload.id,
    name: upload.name,
    content_type: upload.contentType,
    size: upload.sizeBytes,
    metadata: upload.metadata,
    part_size: upload.partBytes,
    part_count: partCount(upload),
    parts: parts.map(showPart),
    missing_parts: missingParts(upload, parts),
    created_at: new Date(upload.createdAt).toISOString(),
    expires_at: new Date(upload.expiresAt).toISOString(),
    urls: { get: self, part: `${self}/parts/{part_number}`, complete: `${self}/complete` },
  };
}
