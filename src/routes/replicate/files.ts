/** `/v1/files`: upload, list, read, delete, download. https://replicate.com/docs/reference/http#files.create */
import { Hono } from "hono";
import * as z from "zod";
import { EdgeplaneError } from "../../contract/errors.ts";
import { verifyLink } from "../../contract/signed-links.ts";
import { contentKey, createFile, deleteFile, findFile, listFiles } from "../../registry/files.ts";
import { checkRoom } from "../../registry/quotas.ts";
import type { App } from "../app.ts";
import { empty, json, operation } from "../operation.ts";
import { forwardCursorOf, LinkQuerySchema } from "../parameters.ts";
import { announcedBytes } from "../request-size.ts";
import { BlobHeaderSchema, blobAnswers, serveBlob } from "../serve-blob.ts";
import { nextCursor } from "./cursor.ts";
import { FileSchema, fileLinks, showFile } from "./file-view.ts";
import { pageOf, pageSchema } from "./page.ts";
import { receiveFile, uploadBody } from "./receive-file.ts";

const PAGE_SIZE = 100;

const FilePathSchema = z.object({ id: z.string().meta({ description: "The file's id." }) });

export function fileRoutes(): Hono<App> {
  const routes = new Hono<App>();

  routes.post(
    "/",
    operation(
      {
        id: "createFile",
        tag: "Files",
        summary: "Upload a file",
        description:
          "A form with the file in `content`, or the file alone with its name in the query. 100 MB at most; larger ones go up in parts (`POST /v1/uploads`). It ends with the account's retention (24 hours).",
        access: "predictions:write",
        query: z.object({
          name: z.string().min(1).optional().meta({ description: "The name of a file that is sent without a form." }),
        }),
        rawBody: uploadBody,
        answers: { 201: json(FileSchema, "The file.", { links: fileLinks }) },
        errors: ["invalid_request", "invalid_input", "payload_too_large", "quota_exceeded", "too_many_bytes"],
      },
      async (c, { query }) => {
        const principal = c.get("principal");
        await checkRoom(c.env, "files", principal.accountId, announcedBytes(c.req.raw) ?? 0);
        const received = await receiveFile(c.env, principal.accountId, c.req.raw, query.name);
        return c.json(await showFile(c, await createFile(c.env, principal, received)), 201);
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
        query: z.object({ cursor: forwardCursorOf(/^[0-9a-hjkmnp-tv-z]{24}$/) }),
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
        description: "By the link in `urls.get`. Always an attachment, never a page. `HEAD` and ranges work.",
        access: "link",
        header: BlobHeaderSchema,
        path: FilePathSchema,
        query: LinkQuerySchema.extend({
          name: z.string().optional().meta({ description: "What a browser shall save it as." }),
        }),
        answers: blobAnswers,
        errors: ["range_not_satisfiable"],
      },
      async (c, { path: { id }, query }) => {
        if (!(await verifyLink(c.env.EDGEPLANE_SECRET, "file", id, query, Date.now()))) {
          throw new EdgeplaneError("forbidden", "The link is not valid, or it has expired.");
        }
        const answer = await serveBlob(c.req.raw, c.env.BLOBS, contentKey(id), query.name ?? id);
        if (answer === null) throw notFound();
        return answer;
      },
    ),
  );

  return routes;
}

function notFound(): EdgeplaneError {
  return new EdgeplaneError("not_found", "There is no such file.");
}
