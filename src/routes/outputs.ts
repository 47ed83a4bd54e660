/** `/v1/outputs`: files that models made, behind signed links. */
import { Hono } from "hono";
import * as z from "zod";
import { EdgeplaneError } from "../contract/errors.ts";
import { verifyLink } from "../contract/signed-links.ts";
import { outputBlobPrefix } from "../storage/blobs.ts";
import type { App } from "./app.ts";
import { operation } from "./operation.ts";
import { LinkQuerySchema } from "./parameters.ts";
import { BlobHeaderSchema, blobAnswers, serveBlob } from "./serve-blob.ts";

const PATH = "/v1/outputs";

/** Where an output file is read; signed as it is. */
export function outputPath(id: string, token: string, name: string): string {
  return `${PATH}/${id}/${token}/${name}`;
}

export function outputRoutes(): Hono<App> {
  const routes = new Hono<App>();
  routes.get(
    "/:id/:token/:name",
    operation(
      {
        id: "getOutput",
        tag: "Files",
        summary: "Download a file that a model made",
        description:
          "By the link that the prediction's output names. Always an attachment, never a page. `HEAD` and ranges work.",
        access: "link",
        path: z.object({ id: z.string(), token: z.string(), name: z.string() }),
        query: LinkQuerySchema,
        header: BlobHeaderSchema,
        answers: blobAnswers,
        errors: ["range_not_satisfiable"],
      },
      async (c, { path: { id, token, name }, query }) => {
        if (!(await verifyLink(c.env.EDGEPLANE_SECRET, "blob", outputPath(id, token, name), query, Date.now()))) {
          throw new EdgeplaneError("forbidden", "The link is not valid, or it has expired.");
        }
        const answer = await serveBlob(c.req.raw, c.env.BLOBS, `${outputBlobPrefix(id, token)}${name}`, name);
        if (answer === null) throw new EdgeplaneError("not_found", "The file is gone.");
        return answer;
      },
    ),
  );
  return routes;
}
