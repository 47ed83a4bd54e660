/**
 * The document of one model: how it is run and what comes of it, with its own schemas of input and output in place.
 * They come from Cog in OpenAPI 3.0's form and are turned into 3.1's.
 */
import type { Hono } from "hono";
import { createDocument } from "zod-openapi";
import type { ZodOpenApiPathsObject } from "zod-openapi";
import * as z from "zod";
import type { Json } from "../../contract/prediction.ts";
import type { Model } from "../../registry/models.ts";
import type { App } from "../app.ts";
import { ProblemSchema } from "../problem.ts";
import { codeSamples } from "./code-samples.ts";
import { describedRoutes, documentOptions, OPENAPI_VERSION, operationObject } from "./document.ts";
import { asSchema, sampleInput } from "./sample-input.ts";
import type { Schema, Schemas } from "./sample-input.ts";
import { securitySchemes } from "./security.ts";

const RUN = "createModelPrediction";
const operations = [RUN, "getPrediction", "cancelPrediction", "streamPrediction"];
const SCHEMAS = "#/components/schemas/";

/** The document is plain JSON from here on. */
const JsonObjectSchema = z.record(
  z.string(),
  z.custom<Json>(() => true),
);

/** Makes the document of `model`'s latest version, or of none. `origin` is where the gateway is called. */
export function modelDocument(app: Pick<Hono<App>, "routes">, model: Model, origin: string): Schema {
  const name = `${model.owner}/${model.name}`;
  const manifest = model.latest?.manifest ?? null;
  const own = modelSchemas(asSchema(manifest?.schema ?? null));
  const input = sampleInput(own);
  const document = frame(app, `/v1/models/${name}/predictions`, {
    title: name,
    version: manifest?.version ?? "none",
    description: model.description,
  });
  const schemas = asSchema(asSchema(document["components"] ?? null)["schemas"] ?? null);
  place(schemas, own);
  const run = asSchema(
    asSchema(asSchema(document["paths"] ?? null)[`/v1/models/${name}/predictions`] ?? null)["post"] ?? null,
  );
  run["x-codeSamples"] = codeSamples(origin, name, input);
  run["parameters"] = list(run["parameters"]).filter((parameter) => asSchema(parameter)["in"] !== "path");
  const body = asSchema(asSchema(asSchema(run["requestBody"] ?? null)["content"] ?? null)["application/json"] ?? null);
  body["examples"] = { sample: { value: { input } } };
  return { ...document, servers: [{ url: origin }] };
}

/** The operations that concern a model, as everywhere; the model's own path names it. */
function frame(
  app: Pick<Hono<App>, "routes">,
  runPath: string,
  info: { title: string; version: string; description: string },
): Schema {
  const paths: ZodOpenApiPathsObject = {};
  for (const { method, path, operation } of describedRoutes(app)) {
    if (!operations.includes(operation.id)) continue;
    const own = operation.id === RUN ? runPath : path;
    paths[own] = { ...paths[own], [method]: operationObject(operation) };
  }
  const made = createDocument(
    { openapi: OPENAPI_VERSION, info, paths, components: { schemas: { Problem: ProblemSchema }, securitySchemes } },
    documentOptions,
  );
  // Links lead to operations that this document may not have.
  const text = JSON.stringify(made, (key, value: unknown) => (key === "links" ? undefined : value));
  return JsonObjectSchema.parse(JSON.parse(text));
}

/** Puts the model's schemas among ours, and in place of "any JSON" in what is sent and answered. */
function place(schemas: Schema, own: Schemas): void {
  const names = new Map(Object.keys(own).map((name) => [name, name in schemas ? `Model${name}` : name]));
  const refer = (name: string): Schema => ({ $ref: `${SCHEMAS}${names.get(name) ?? name}` });
  const sent = asSchema(asSchema(schemas["NewPrediction"] ?? null)["properties"] ?? null);
  const answered = asSchema(asSchema(schemas["Prediction"] ?? null)["properties"] ?? null);
  delete sent["version"];
  delete sent["model"];
  sent["input"] = refer("Input");
  answered["input"] = { anyOf: [refer("Input"), { type: "null" }] };
  answered["output"] = { anyOf: [refer("Output"), { type: "null" }] };
  for (const [name, schema] of Object.entries(own)) schemas[names.get(name) ?? name] = renamed(schema, names);
}

/**
 * `Input` and `Output`, and all that they refer to, in 3.1's form. Both are there even when the version never loaded.
 */
function modelSchemas(document: Schema): Schemas {
  const all = asSchema(asSchema(document["components"] ?? null)["schemas"] ?? null);
  const found: Schemas = { Input: { type: "object" }, Output: {} };
  const names = new Set(Object.keys(found));
  // What is added on the way is visited too.
  for (const name of names) {
    const schema = all[name];
    if (schema === undefined) continue;
    found[name] = upgraded(schema);
    for (const [, ref = ""] of JSON.stringify(schema).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      if (Object.hasOwn(all, ref)) names.add(ref);
    }
  }
  return found;
}

/** Turns OpenAPI 3.0's `nullable` into JSON Schema's null. */
function upgraded(value: Json): Json {
  if (Array.isArray(value)) return value.map(upgraded);
  if (typeof value !== "object" || value === null) return value;
  const { nullable, ...rest } = value;
  const inner = Object.fromEntries(Object.entries(rest).map(([key, one]) => [key, upgraded(one)]));
  if (nullable !== true) return typeof nullable === "object" ? { ...inner, nullable: upgraded(nullable) } : inner;
  return { anyOf: [inner, { type: "null" }] };
}

function renamed(value: Json, names: ReadonlyMap<string, string>): Json {
  if (Array.isArray(value)) return value.map((one) => renamed(one, names));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => {
      if (key !== "$ref" || typeof one !== "string" || !one.startsWith(SCHEMAS)) return [key, renamed(one, names)];
      const name = one.slice(SCHEMAS.length);
      return [key, `${SCHEMAS}${names.get(name) ?? name}`];
    }),
  );
}

function list(value: Json | undefined): Json[] {
  return Array.isArray(value) ? value : [];
}
