/** `/v1/outputs`: files that models made, behind signed links. */
import { Hono } from "hono";
import { EdgeplaneError } from "../contract/errors.ts";
import { verifyLink } from "../contract/signed-links.ts";
import { outputBlobPrefix } from "../storage/blobs.ts";
import type { App } from "./app.ts";
import { serveBlob } from "./serve-blob.ts";

const PATH = "/v1/outputs";

/** Where an output file is read; signed as it is. */
export function outputPath(id: string, token: string, name: string): string {
  return `${PATH}/${id}/${token}/${name}`;
}

export function outputRoutes(): Hono<App> {
  const routes = new Hono<App>();
  routes.get("/:id/:token/:name", async (c) => {
    const { id, token, name } = c.req.param();
    const link = { expires: c.req.query("expires"), signature: c.req.query("signature") };
    if (!(await verifyLink(c.env.EDGEPLANE_SECRET, "blob", outputPath(id, token, name), link, Date.now()))) {
      throw new EdgeplaneError("forbidden", "The link is not valid, or it has expired.");
    }
    const object = await c.env.BLOBS.get(`${outputBlobPrefix(id, token)}${name}`);
    if (object === null) throw new EdgeplaneError("not_found", "The file is gone.");
    return serveBlob(object, name);
  });
  return routes;
}
