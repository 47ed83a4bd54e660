/** `/v1/outputs`: files that models made, behind signed links. */
import { Hono } from "hono";
import * as z from "zod";
import { EdgeplaneError } from "../contract/errors.ts";
import { verifyLink } from "../contract/signed-links.ts";
import { outputBlobPrefix } from "../storage/blobs.ts";
import type { App, AppContext } from "./app.ts";
import { operation } from "./operation.ts";
import { LinkQuerySchema } from "./parameters.ts";
import { BlobHeaderSchema, blobAnswers, serveBlob } from "./serve-blob.ts";

const PATH = "/v1/outputs";

const UnnamedPathSchema = z.object({
  id: z.string().meta({ description: "The prediction's id." }),
  token: z.string().meta({ description: "Of the claim that made it." }),
  blob: z.string().meta({ description: "The claim's own name of it." }),
});

/** `name` is absent where the pool that stored it named none. */
type OutputPath = z.output<typeof UnnamedPathSchema> & { name?: string | undefined };

/** Where an output file is read, under the name that its model gave it; signed as it is. */
export function outputPath({ id, token, blob, name }: OutputPath): string {
  return `${PATH}/${id}/${token}/${blob}${name === undefined ? "" : `/${encodeURIComponent(name.toWellFormed())}`}`;
}

export function outputRoutes(): Hono<App> {
  const routes = new Hono<App>();
  const description = {
    tag: "Files",
    description:
      "By the link that the prediction's output names. Always an attachment, never a page. `HEAD` and ranges work.",
    access: "link",
    query: LinkQuerySchema,
    header: BlobHeaderSchema,
    answers: blobAnswers,
    errors: ["range_not_satisfiable"],
  } as const;

  routes.get(
    "/:id/:token/:blob",
    operation(
      { ...description, id: "getOutput", summary: "Download a file that a model made", path: UnnamedPathSchema },
      (c, { path, query }) => answerOutput(c, path, query),
    ),
  );

  routes.get(
    "/:id/:token/:blob/:name",
    operation(
      {
        ...description,
        id: "getNamedOutput",
        summary: "Download a file that a model made, under its name",
        path: UnnamedPathSchema.extend({ name: z.string().meta({ description: "What a browser saves it as." }) }),
      },
      (c, { path, query }) => answerOutput(c, path, query),
    ),
  );

  return routes;
}

async function answerOutput(
  c: AppContext,
  path: OutputPath,
  query: z.output<typeof LinkQuerySchema>,
): Promise<Response> {
  if (!(await verifyLink(c.env.EDGEPLANE_SECRET, "blob", outputPath(path), query, Date.now()))) {
    throw new EdgeplaneError("forbidden", "The link is not valid, or it has expired.");
  }
  const key = `${outputBlobPrefix(path.id, path.token)}${path.blob}`;
  const answer = await serveBlob(c.req.raw, c.env.BLOBS, key, path.name ?? path.blob);
  if (answer === null) throw new EdgeplaneError("not_found", "The file is gone.");
  return answer;
}
