/**
 * `/pool/v1/blobs/{id}/{token}/{name}`: a claim's input is read, its output is written. Both demand that the claim is the
 * prediction's latest: a pool whose claim was lost reads and writes nothing.
 */
import { Hono } from "hono";
import { isPredictionId } from "../../contract/ids.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import { inputBlobKey, isBlobName, outputBlobPrefix } from "../../storage/blobs.ts";
import { signLink } from "../../contract/signed-links.ts";
import type { App, AppContext, ShardPort } from "../app.ts";
import { outputPath } from "../outputs.ts";

/** A request's body at the edge has at most this. */
const MAX_BLOB_BYTES = 100 * 1024 * 1024;
/** How long a link to an output file works. */
const OUTPUT_LINK_MS = 24 * 3_600_000;
const DEFAULT_TYPE = "application/octet-stream";

export function blobRoutes(shard: ShardPort): Hono<App> {
  const routes = new Hono<App>();

  routes.get("/:id/:token/:name", async (c) => {
    const { id, name } = await checkClaim(c, shard);
    const object = name === "input" ? await c.env.BLOBS.get(inputBlobKey(id)) : null;
    if (object === null) throw new EdgeplaneError("not_found", "The input is gone.");
    return new Response(object.body, {
      headers: { "content-type": "application/json", "content-length": String(object.size) },
    });
  });

  routes.put("/:id/:token/:name", async (c) => {
    const { id, token, name } = await checkClaim(c, shard);
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
    const path = outputPath(id, token, name);
    const query = await signLink(c.env.EDGEPLANE_SECRET, "blob", path, Date.now() + OUTPUT_LINK_MS);
    return c.json({ key, url: `${new URL(c.req.url).origin}${path}?${query}` }, 201);
  });

  return routes;
}

async function checkClaim(c: AppContext, shard: ShardPort): Promise<{ id: string; token: string; name: string }> {
  const { id = "", token = "", name = "" } = c.req.param();
  const wellFormed = isPredictionId(id, Number(c.env.SHARD_COUNT)) && /^[0-9a-f]{32}$/.test(token) && isBlobName(name);
  if (!wellFormed) throw new EdgeplaneError("not_found", "A blob is named `{prediction}/{token}/{name}`.");
  if (await shard.verifyClaim(c.env, id, token)) return { id, token, name };
  throw new EdgeplaneError("forbidden", "The claim is not the prediction's latest, or the prediction has ended.");
}
