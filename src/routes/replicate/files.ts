/** `/v1/files`: upload, list, read, delete, download. https://replicate.com/docs/reference/http#files.create */
import { Hono } from "hono";
import { EdgeplaneError } from "../../contract/errors.ts";
import type { Json } from "../../contract/prediction.ts";
import { signLink, verifyLink } from "../../contract/signed-links.ts";
import { createFile, deleteFile, findFile, listFiles, readFile, sweepFiles } from "../../registry/files.ts";
import type { NewFile, StoredFile } from "../../registry/files.ts";
import { log, reasonOf } from "../../telemetry/log.ts";
import type { App, AppContext } from "../app.ts";
import { requireScope } from "../authenticate.ts";
import { serveBlob } from "../serve-blob.ts";
import { decodeCursor, forward, nextCursor } from "./cursor.ts";
import { pageOf } from "./page.ts";

/** What a form is read into memory at most. */
const MAX_UPLOAD_BYTES = 32 * 1024 * 1024;
const MAX_METADATA_CHARS = 64 * 1024;
const PAGE_SIZE = 100;
/** What surrounds the content in a form. */
const FORM_OVERHEAD_BYTES = 128 * 1024;

export function fileRoutes(): Hono<App> {
  const routes = new Hono<App>();
  const read = requireScope("predictions:read");
  const write = requireScope("predictions:write");

  routes.post("/", write, async (c) => {
    const stored = await createFile(c.env, c.get("principal").accountId, await readUpload(c.req.raw));
    const sweep = sweepFiles(c.env).catch((thrown: unknown) =>
      log.warn("file_sweep_failed", { reason: reasonOf(thrown) }),
    );
    c.executionCtx.waitUntil(sweep);
    return c.json(await showFile(c, stored), 201);
  });

  routes.get("/", read, async (c) => {
    const after = forward(decodeCursor(c.req.query("cursor")));
    const found = await listFiles(c.env.DB, c.get("principal").accountId, { after, limit: PAGE_SIZE + 1 });
    const results = await Promise.all(found.slice(0, PAGE_SIZE).map((file) => showFile(c, file)));
    return c.json(
      pageOf(
        c.req.url,
        results,
        nextCursor(found, PAGE_SIZE, (file) => file),
        null,
      ),
    );
  });

  routes.get("/:id", read, async (c) => {
    const file = await findFile(c.env.DB, c.get("principal").accountId, c.req.param("id"));
    if (file === null) throw notFound();
    return c.json(await showFile(c, file));
  });

  routes.delete("/:id", write, async (c) => {
    if (await deleteFile(c.env, c.get("principal").accountId, c.req.param("id"))) return c.body(null, 204);
    throw notFound();
  });

  routes.get("/:id/download", async (c) => {
    const id = c.req.param("id");
    const link = { expires: c.req.query("expires"), signature: c.req.query("signature") };
    if (!(await verifyLink(c.env.EDGEPLANE_SECRET, "file", id, link, Date.now()))) {
      throw new EdgeplaneError("forbidden", "The link is not valid, or it has expired.");
    }
    const object = await readFile(c.env, id);
    if (object === null) throw notFound();
    return serveBlob(object, c.req.query("name") ?? id);
  });

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

async function showFile(c: AppContext, file: StoredFile) {
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
