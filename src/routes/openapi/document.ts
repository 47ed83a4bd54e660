/**
 * The OpenAPI 3.1 document of an app, made from what its routes say of themselves.
 * https://spec.openapis.org/oas/v3.1.1.html
 */
import type { Hono } from "hono";
import { createDocument } from "zod-openapi";
import type {
  CreateDocumentOptions,
  ZodOpenApiObject,
  ZodOpenApiOperationObject,
  ZodOpenApiPathsObject,
} from "zod-openapi";
import type { App } from "../app.ts";
import { descriptionOf, tags } from "../operation.ts";
import type { Operation } from "../operation.ts";
import { ProblemSchema } from "../problem.ts";
import { answersOf } from "./answers.ts";
import { securityOf, securitySchemes } from "./security.ts";

const DESCRIPTION = `The API of an Edgeplane gateway: Replicate's HTTP API with additions, and the calls of operators and GPU pools.

Errors are problem details (RFC 9457) with a \`code\`; [all codes](/docs/errors) tell cause and remedy. The log at \`/kafka\` speaks the Upstash
Kafka REST dialect, which has a document of its own (docs/kafka.md).`;

export const OPENAPI_VERSION = "3.1.1";

export type OpenApiDocument = ReturnType<typeof createDocument>;

/** A described route: its method in lower case, and its path as OpenAPI writes it (\`/v1/files/{id}\`). */
export type DescribedRoute = { method: string; path: string; operation: Operation };

/**
 * Values that only a check describes (any JSON value) say in their \`meta\` what they are; without, they are any value.
 */
export const documentOptions: CreateDocumentOptions = { allowEmptySchema: { custom: true } };

/** The app's routes that are described, in the order of their registration. */
export function describedRoutes(app: Pick<Hono<App>, "routes">): DescribedRoute[] {
  return app.routes.flatMap(({ method, path, handler }) => {
    const operation = descriptionOf(handler);
    return operation === undefined ? [] : [{ method: method.toLowerCase(), path: openApiPath(path), operation }];
  });
}

/** The path of a route as OpenAPI writes it. */
export function openApiPath(path: string): string {
  return path.replaceAll(/:([A-Za-z]\w*)(\{[^}]*\})?/g, "{$1}");
}

/** Makes the document. */
export function openApiDocument(app: Pick<Hono<App>, "routes">): OpenApiDocument {
  const paths: ZodOpenApiPathsObject = {};
  for (const { method, path, operation } of describedRoutes(app)) {
    // OpenAPI 3.1 has no word for QUERY; the GET beside it says that there is one.
    if (method === "query") continue;
    paths[path] = { ...paths[path], [method]: operationObject(operation) };
  }
  const document: ZodOpenApiObject = {
    openapi: OPENAPI_VERSION,
    info: {
      title: "Edgeplane",
      version: "1.0.0",
      description: DESCRIPTION,
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
    paths,
    components: { schemas: { Problem: ProblemSchema }, securitySchemes },
  };
  return createDocument(document, documentOptions);
}

/** An operation as the document has it. */
export function operationObject(operation: Operation): ZodOpenApiOperationObject {
  const { id, tag, summary, description, path, query, header, rawBody, access } = operation;
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    security: securityOf(access),
    requestParams: {
      ...(path === undefined ? {} : { path }),
      ...(query === undefined ? {} : { query }),
      ...(header === undefined ? {} : { header }),
    },
    ...(rawBody === undefined ? jsonBody(operation) : { requestBody: rawBody }),
    responses: answersOf(operation),
  };
}

function jsonBody({ body }: Operation): Pick<ZodOpenApiOperationObject, "requestBody"> {
  if (body === undefined) return {};
  const examples = Object.entries(body.examples ?? {}).map(([name, value]) => [name, { value }] as const);
  const content = {
    "application/json": {
      schema: body.schema,
      ...(examples.length === 0 ? {} : { examples: Object.fromEntries(examples) }),
    },
  };
  return { requestBody: { required: true, content } };
}
