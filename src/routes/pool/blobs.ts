/**
 * `/pool/v1/blobs/{id}/{token}/{name}`: a claim's input is read, its output is written. Both demand that the claim is the
 * prediction's latest: a pool whose claim was lost reads and writes nothing.
 */
import { Hono } from "hono";
import * as z from "zod";
import { isPredictionId } from "../../contract/ids.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import { JsonSchema } from "../../contract/prediction.ts";
import { inputBlobKey, isBlobName, outputBlobPrefix } from "../../storage/blobs.ts";
import { signLink } from "../../contract/signed-links.ts";
import type { App, AppContext, ShardPort } from "../app.ts";
import { json, operation } from "../operation.ts";
import { outputPath } from "../outputs.ts";

/** A request's body at the edge has at most this. */
const MAX_BLOB_BYTES = 100 * 1024 * 1024;
/** How long a link to an output file works. */
const OUTPUT_LINK_MS = 24 * 3_600_000;
const DEFAULT_TYPE = "application/octet-stream";

const BlobPathSchema = z.object({
  id: z.string().meta({ description: "The prediction's id." }),
  token: z.string().meta({ description: "The claim's token." }),
  name: z.string().meta({ description: "`input`, or the name of an output." }),
});
type BlobPath = z.output<typeof BlobPathSchema>;

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
        const { id, name } = await checkClaim(c, shard, path);
        const object = name === "input" ? await c.env.BLOBS.get(inputBlobKey(id)) : null;
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
        access: "pool",
        path: BlobPathSchema,
        rawBody: { required: true, content: { "*/*": { schema: { type: "string", format: "binary" } } } },
        answers: { 201: json(StoredBlobSchema, "It is stored.") },
        errors: ["forbidden", "invalid_request", "payload_too_large"],
      },
      async (c, { path }) => {
        const { id, token, name } = await checkClaim(c, shard, path);
        const sizeBytes = Number(c.req.header("content-length") ?? Number.NaN);
        if (!Number.isSafeInteger(sizeBytes)) {
          throw new EdgeplaneError("invalid_request", "Send the blob with a `Content-Length`.");
        }
        if (sizeBytes > MAX_BLOB_BYTES) {
          throw new EdgeplaneError("payload_too_large", `A blob may have at most ${MAX_BLOB_BYTES} bytes.`);
        }
        const key = `${outputBlobPrefix(id, token)}${name}`;
        const contentType = c.req.header("content-type") ?? DEFAULT_TYPE;
        await c.env.BLOBS.put(key, c.req.raw.body ?? new Uint8Array(), { httpMetadata: { contentType } });
        const address = outputPath(id, token, name);
        const query = await signLink(c.env.EDGEPLANE_SECRET, "blob", address, Date.now() + OUTPUT_LINK_MS);
        return c.json({ key, url: `${new URL(c.req.url).origin}${address}?${query}` }, 201);
      },
    ),
  );

  return routes;
}

async function checkClaim(c: AppContext, shard: ShardPort, path: BlobPath): Promise<BlobPath> {
  const { id, token, name } = path;
  const wellFormed = isPredictionId(id, Number(c.env.SHARD_COUNT)) && /^[0-9a-f]{32}$/.test(token) && isBlobName(name);
  if (!wellFormed) throw new EdgeplaneError("not_found", "A blob is named `{prediction}/{token}/{name}`.");
  if (await shard.verifyClaim(c.env, id, token)) return path;
  throw new EdgeplaneError("forbidden", "The claim is not the prediction's latest, or the prediction has ended.");
}
