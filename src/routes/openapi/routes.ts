/** `/openapi.json`, and a document per model: what the gateway offers, for tools. */
import { Hono } from "hono";
import * as z from "zod";
import type { App } from "../app.ts";
import { cors } from "../cors.ts";
import { json, operation } from "../operation.ts";
import { ModelPathSchema } from "../parameters.ts";
import { modelOf } from "../replicate/model-path.ts";
import { openApiDocument } from "./document.ts";
import { modelDocument } from "./model-document.ts";

const DocumentSchema = z
  .looseObject({ openapi: z.string(), info: z.looseObject({}), paths: z.looseObject({}) })
  .meta({ description: "An OpenAPI 3.1 document." });

/** The routes of the document of `app`, which is made when it is first asked for. */
export function openApiRoutes(app: Pick<Hono<App>, "routes">): Hono<App> {
  const routes = new Hono<App>();
  let text: string | null = null;

  routes.use("/openapi.json", cors(["GET"], []));
  routes.get(
    "/openapi.json",
    operation(
      {
        id: "getOpenApiDocument",
        tag: "Gateway",
        summary: "Get this document",
        access: "anyone",
        answers: { 200: json(DocumentSchema, "This document.") },
      },
      (c) => {
        text ??= JSON.stringify(openApiDocument(app));
        return c.body(text, 200, { "content-type": "application/json", "cache-control": "public, max-age=300" });
      },
    ),
  );

  routes.get(
    "/v1/models/:owner/:name/openapi.json",
    operation(
      {
        id: "getModelDocument",
        tag: "Models",
        summary: "Get a model's OpenAPI document",
        description:
          "How its latest version is run, with the schemas of its input and output, and code samples (`x-codeSamples`).",
        access: "models:read",
        path: ModelPathSchema,
        answers: { 200: json(DocumentSchema, "An OpenAPI 3.1 document.") },
        errors: ["model_not_found"],
      },
      async (c, { path }) => c.json(modelDocument(app, await modelOf(c, path), new URL(c.req.url).origin)),
    ),
  );

  return routes;
}
