/** `/docs`: pages for people. They load nothing from elsewhere. */
import { Hono } from "hono";
import * as z from "zod";
import { EdgeplaneError } from "../../contract/errors.ts";
import type { App } from "../app.ts";
import { operation } from "../operation.ts";
import { ERRORS_PATH } from "../problem.ts";
import { errorsPage } from "./errors-page.ts";
import { referencePage, SCRIPT_PATH } from "./reference-page.ts";

const page = { 200: { description: "A page.", content: { "text/html": { schema: z.string() } } } };
const script = { 200: { description: "JavaScript.", content: { "text/javascript": { schema: z.string() } } } };

export function docsRoutes(): Hono<App> {
  const routes = new Hono<App>();

  routes.get(
    "/docs",
    operation({ id: "getDocs", tag: "Gateway", summary: "Read this document", access: "anyone", answers: page }, () =>
      referencePage("/openapi.json"),
    ),
  );

  routes.get(
    ERRORS_PATH,
    operation(
      { id: "getErrorsPage", tag: "Gateway", summary: "Read what each code means", access: "anyone", answers: page },
      errorsPage,
    ),
  );

  routes.get(
    SCRIPT_PATH,
    operation(
      {
        id: "getDocsScript",
        tag: "Gateway",
        summary: "Get what renders the document",
        access: "anyone",
        answers: script,
        errors: ["not_found"],
      },
      async (c) => {
        const answer = await c.env.DOCS_ASSETS?.fetch(`https://assets${SCRIPT_PATH}`);
        if (answer?.ok !== true) {
          throw new EdgeplaneError(
            "not_found",
            "The gateway was deployed without the files of /docs; see docs/api.md.",
          );
        }
        return new Response(answer.body, {
          headers: {
            "content-type": "text/javascript; charset=utf-8",
            "cache-control": "public, max-age=3600",
            "x-content-type-options": "nosniff",
          },
        });
      },
    ),
  );

  return routes;
}
