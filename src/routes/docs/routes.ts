/** `/docs`: pages for people. They load nothing from elsewhere. */
import { Hono } from "hono";
import * as z from "zod";
import type { App } from "../app.ts";
import { serveAsset } from "../asset.ts";
import { operation } from "../operation.ts";
import { ERRORS_PATH } from "../problem.ts";
import { errorsPage } from "./errors-page.ts";
import { referencePage, SCRIPT_PATH } from "./reference-page.ts";
import { usagePage } from "./usage-page.ts";

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
    "/docs/usage",
    operation(
      { id: "getUsagePage", tag: "Gateway", summary: "See what an account used", access: "anyone", answers: page },
      usagePage,
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
      async (c) => serveAsset(c, SCRIPT_PATH, "text/javascript; charset=utf-8", "public, max-age=3600"),
    ),
  );

  return routes;
}
