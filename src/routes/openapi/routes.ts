/** `/openapi.json`: what the gateway offers, for tools. */
import { Hono } from "hono";
import * as z from "zod";
import type { App } from "../app.ts";
import { cors } from "../cors.ts";
import { json, operation } from "../operation.ts";
import { openApiDocument } from "./document.ts";

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
        return c.body(text, 200, { "content-type": "application/json" });
      },
    ),
  );

  return routes;
}
