/** `/v1/files`: upload, list, read, delete, download. https://replicate.com/docs/reference/http#files.create */
import { Hono } from "hono";
import * as z from "zod";
import type { ZodOpenApiRequestBodyObject } from "zod-openapi";
import { EdgeplaneError } from "../../contract/errors.ts";
import { JsonSchema } from "../../contract/prediction.ts";
import type { Json } from "../../contract/prediction.ts";
import { signLink, verifyLink } from "../../contract/signed-links.ts";
import { createFile, deleteFile, findFile, listFiles, readFile, sweepFiles } from "../../registry/files.ts";
import type { NewFile, StoredFile } from "../../registry/files.ts";
import { log, reasonOf } from "../../telemetry/log.ts";
import type { App, AppContext } from "../app.ts";
import { empty, json, operation } from "../operation.ts";
import { ForwardCursorSchema, LinkQuerySchema } from "../parameters.ts";
import { blobAnswer, serveBlob } from "../serve-blob.ts";
import { nextCursor } from "./cursor.ts";
import { pageOf, pageSchema } from "./page.ts";

/** What a form is read into memory at most. */
const MAX_UPLOAD_BYTES = 32 * 1024 * 1024;
const MAX_METADATA_CHARS = 64 * 1024;
const PAGE_SIZE = 100;
/** What surrounds the content in a form. */
const FORM_OVERHEAD_BYTES = 128 * 1024;

const FileSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    content_type: z.string(),
    size: z.number().int().meta({ description: "Bytes." }),
    etag: z.string(),
    checksums: z.object({ sha256: z.string() }),
    metadata: JsonSchema.meta({ override: { type: "object" } }),
    created_at: z.iso.datetime(),
    expires_at: z.iso.datetime(),
    urls: z.object({ get: z.string().meta({ description: "A signed link to the content." }) }),
  })
  .meta({ id: "File" });

const FilePathSchema = z.object({ id: z.string().meta({ description: "The file's id." }) });

const fileLinks = {
  getFile: { operationId: "getFile", parameters: { id: "$response.body#/id" } },
  deleteFile: { operationId: "deleteFile", parameters: { id: "$response.body#/id" } },
};

const uploadForm: ZodOpenApiRequestBodyObject = {
  required: true,
  content: {
    "multipart/form-data": {
      schema: z.object({
        content: z.file().meta({ description: "The file, with its name and type." }),
        metadata: z.string().optional().meta({ description: "A JSON object, kept with the file." }),
      }),
    },
  },
};

export function fileRoutes(): Hono<App> {
  const routes = new Hono<App>();

  routes.post(
    "/",
    operation(
      {
        id: "createFile",
        tag: "Files",
        summary: "Upload a file",
        description: "It ends after 24 hours.",
        access: "predictions:write",
        rawBody: uploadForm,
        answers: { 201: json(FileSchema, "The file.", { links: fileLinks }) },
        errors: ["invalid_request", "invalid_input", "payload_too_large"],
      },
      async (c) => {
        const stored = await createFile(c.env, c.get("principal").accountId, await readUpload(c.req.raw));
        const sweep = sweepFiles(c.env).catch((thrown: unknown) =>
          log.warn("file_sweep_failed", { reason: reasonOf(thrown) }),
        );
        c.executionCtx.waitUntil(sweep);
        return c.json(await showFile(c, stored), 201);
      },
    ),
  );

  routes.get(
    "/",
    operation(
      {
        id: "listFiles",
        tag: "Files",
        summary: "List the account's files, newest first",
        access: "predictions:read",
        query: z.object({ cursor: ForwardCursorSchema }),
        answers: { 200: json(pageSchema(FileSchema), "A page.") },
      },
      async (c, { query: { cursor } }) => {
        const found = await listFiles(c.env.DB, c.get("principal").accountId, { after: cursor, limit: PAGE_SIZE + 1 });
        const results = await Promise.all(found.slice(0, PAGE_SIZE).map((file) => showFile(c, file)));
        const next = nextCursor(found, PAGE_SIZE, (file) => file);
        return c.json(pageOf(c.req.url, results, next, null));
      },
    ),
  );

  routes.get(
    "/:id",
    operation(
      {
        id: "getFile",
        tag: "Files",
        summary: "Read what is known of a file",
        access: "predictions:read",
        path: FilePathSchema,
        answers: { 200: json(FileSchema, "The file.", { links: fileLinks }) },
        errors: ["not_found"],
      },
      async (c, { path }) => {
        const file = await findFile(c.env.DB, c.get("principal").accountId, path.id);
        if (file === null) throw notFound();
        return c.json(await showFile(c, file));
      },
    ),
  );

  routes.delete(
    "/:id",
    operation(
      {
        id: "deleteFile",
        tag: "Files",
        summary: "Delete a file",
        access: "predictions:write",
        path: FilePathSchema,
        answers: { 204: empty("It is gone.") },
        errors: ["not_found"],
      },
      async (c, { path }) => {
        if (await deleteFile(c.env, c.get("principal").accountId, path.id)) return c.body(null, 204);
        throw notFound();
      },
    ),
  );

  routes.get(
    "/:id/download",
    operation(
      {
        id: "downloadFile",
        tag: "Files",
        summary: "Download a file",
        description: "By the link in `urls.get`. Always an attachment, never a page.",
        access: "link",
        path: FilePathSchema,
        query: LinkQuerySchema.extend({
          name: z.string().optional().meta({ description: "What a browser shall save it as." }),
        }),
        answers: { 200: blobAnswer },
        errors: ["not_found"],
      },
      async (c, { path: { id }, query }) => {
        if (!(await verifyLink(c.env.EDGEPLANE_SECRET, "file", id, query, Date.now()))) {
          throw new EdgeplaneError("forbidden", "The link is not valid, or it has expired.");
        }
        const object = await readFile(c.env, id);
        if (object === null) throw notFound();
        return serveBlob(object, query.name ?? id);
      },
    ),
  );

  return routes;
}

async function readUpload(request: Request): Promise<NewFile> {
  const announced = Number(request.headers.get("content-length") ?? Number.NaN);
  if (Number.isNaN(announced)) throw new EdgeplaneError("invalid_request", "Send the form with a `Content-Length`.");
  if (announced > MAX_UPLOAD_BYTES + FORM_OVERHEAD_BYTES) {
    throw new EdgeplaneError("payload_too_large", `A file may have at most ${MAX_UPLOAD_BYTES} bytes.`);
  }
  let form: FormData;
  try {
    form = await request.formData();
  } catch (cause) {
    throw new EdgeplaneError("invalid_request", "Send `multipart/form-data` with the file in the field `content`.", {
      cause,
    });
  }
  const content = form.get("content");
  if (content === null || typeof content === "string") {
    throw new EdgeplaneError("invalid_input", "- content: must be a file\n", {
      invalidFields: [{ field: "content", description: "must be a file" }],
    });
  }
  const metadata = form.get("metadata");
  const text = metadata === null || typeof metadata === "string" ? metadata : await metadata.text();
  return {
    name: content.name.slice(0, 255),
    contentType: content.type === "" ? "application/octet-stream" : content.type.slice(0, 255),
    metadata: readMetadata(text),
    content: await content.arrayBuffer(),
  };
}

function readMetadata(text: string | null): Json {
  if (text === null || text === "") return {};
  try {
    const value: unknown = text.length <= MAX_METADATA_CHARS ? JSON.parse(text) : null;
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Json;
  } catch {
    // Answered below, like a value of another kind.
  }
  throw new EdgeplaneError("invalid_input", "- metadata: must be a JSON object of at most 64 KiB\n", {
    invalidFields: [{ field: "metadata", description: "must be a JSON object of at most 64 KiB" }],
  });
}

async function showFile(c: AppContext, file: StoredFile): Promise<z.output<typeof FileSchema>> {
  const query = await signLink(c.env.EDGEPLANE_SECRET, "file", file.id, file.expiresAt);
  const { origin } = new URL(c.req.url);
  return {
    id: file.id,
    name: file.name,
    content_type: file.contentType,
    size: file.sizeBytes,
    etag: file.sha256,
    checksums: { sha256: file.sha256 },
    metadata: file.metadata,
    created_at: new Date(file.createdAt).toISOString(),
    expires_at: new Date(file.expiresAt).toISOString(),
    urls: { get: `${origin}/v1/files/${file.id}/download?${query}` },
  };
}

function notFound(): EdgeplaneError {
  return new EdgeplaneError("not_found", "There is no such file.");
}
