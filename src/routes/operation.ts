/**
 * Routes that say what they are. A route's handler is `operation(description, handler)`: the description names who may
 * call, the zod schemas that its parameters and its body are parsed with, and its answers. The handler gets what was
 * parsed; `/openapi.json` is made from the same description, so nothing is written twice and the two can't differ. A
 * route that isn't described fails `openapi.worker.test.ts`.
 *
 *     routes.get("/:id", operation({
 *       id: "getFile", tag: "Files", summary: "Read a file's record", access: "predictions:read",
 *       path: z.object({ id: FileIdSchema }),
 *       answers: { 200: json(FileSchema, "The file.") },
 *     }, async (c, { path }) => c.json(await showFile(c, path.id))));
 *
 * What an answer looks like is a zod schema too (`FileSchema`), and the type of what the handler builds is inferred
 * from it. What follows from the rest isn't listed: 401 and 403 from `access`, 400 from parameters, `not_found` from
 * those of the path, 400, 413, 415 and 422 from a body.
 */
import type { Handler } from "hono";
import type * as z from "zod";
import type { ZodOpenApiLinksObject, ZodOpenApiRequestBodyObject, ZodOpenApiResponseObject } from "zod-openapi";
import type { ErrorCode } from "../contract/errors.ts";
import { admit, holderOf } from "./access.ts";
import type { Access } from "./access.ts";
import type { App, AppContext } from "./app.ts";
import { openHold } from "./body-budget.ts";
import { parseWith, readJson } from "./body.ts";
import type { LoneSurrogates } from "./body.ts";

export const tags = {
  Predictions: "Run a model, read what came of it, stream it, cancel it.",
  Models: "What can be run here.",
  Deployments: "The account's own names for versions of models.",
  Files: "Files for inputs, and files that models made.",
  Account: "The caller's account.",
  Operator: "`/admin/v1`: accounts, keys and pool tokens. It answers 404 until `ADMIN_KEY` is set.",
  Pools: "`/pool/v1`: what `gpu-pool` calls.",
  Providers: "`/provider/v1`: what `edgeplane-provider` calls.",
  Gateway: "The gateway itself.",
  "Not offered": "Calls of Replicate's API that answer 501 here.",
} as const;
export type Tag = keyof typeof tags;

type Parameters = z.ZodObject<Record<string, z.ZodType>>;
/** Stands for parameters of a kind that a route has none of. */
type None = z.ZodObject<{ [name: string]: never }>;

/** What `/openapi.json` says of a route, and what of it is parsed. */
export type Operation<
  Path extends Parameters = Parameters,
  Query extends Parameters = Parameters,
  Header extends Parameters = Parameters,
  Body extends z.ZodType = z.ZodType,
> = {
  /** Unique, lowerCamelCase: what generated clients call it. */
  id: string;
  tag: Tag;
  summary: string;
  description?: string;
  access: Access;
  /** Parameters by name; headers as they are written. What can't be parsed answers 400. */
  path?: Path;
  query?: Query;
  header?: Header;
  /**
   * A JSON body of at most `maxBytes` (16 MiB), in which lone surrogates are refused unless it says otherwise;
   * `examples` by name.
   */
  body?: { schema: Body; maxBytes?: number; loneSurrogates?: LoneSurrogates; examples?: Record<string, z.input<Body>> };
  /** A body that is something else: described here, read by the handler. */
  rawBody?: ZodOpenApiRequestBodyObject;
  answers: { [status: number]: ZodOpenApiResponseObject };
  /** Its answers may be long, and count as the account's until they are read. */
  isLong?: boolean;
  /** The codes that it refuses with, beside those that follow from the rest. */
  errors?: readonly ErrorCode[];
};

type Input<Path extends z.ZodType, Query extends z.ZodType, Header extends z.ZodType, Body extends z.ZodType> = {
  path: z.output<Path>;
  query: z.output<Query>;
  header: z.output<Header>;
  body: z.output<Body>;
};

const descriptions = new WeakMap<object, Operation>();

/** A handler that lets its caller in, parses what the description names, and is described by it. */
export function operation<
  Path extends Parameters = None,
  Query extends Parameters = None,
  Header extends Parameters = None,
  Body extends z.ZodType = z.ZodUndefined,
>(
  description: Operation<Path, Query, Header, Body>,
  handle: (c: AppContext, input: Input<Path, Query, Header, Body>) => Response | Promise<Response>,
): Handler<App> {
  const { access, path, query, header, body } = description;
  const handler: Handler<App> = async (c) => {
    await admit(c, access);
    const input = {
      path: path === undefined ? {} : parseWith(path, c.req.param(), "", "invalid_request"),
      query:
        query === undefined
          ? {}
          : parseWith(
              query,
              given(query, (name) => c.req.query(name)),
              "",
              "invalid_request",
            ),
      header:
        header === undefined
          ? {}
          : parseWith(
              header,
              given(header, (name) => c.req.header(name)),
              "",
              "invalid_request",
            ),
    };
    if (body === undefined) return handle(c, { ...input, body: undefined } as Input<Path, Query, Header, Body>);
    const hold = openHold(c.env, holderOf(c, access));
    try {
      const value = await readJson(c.req.raw, body.maxBytes, body.loneSurrogates, hold);
      return await handle(c, { ...input, body: parseWith(body.schema, value) } as Input<Path, Query, Header, Body>);
    } finally {
      hold.release();
    }
  };
  return described(description as unknown as Operation, handler);
}

/** `handler`, described but not wrapped: for routes that read their request in a way of their own. */
export function described<H extends object>(description: Operation, handler: H): H {
  descriptions.set(handler, description);
  return handler;
}

/** What a route's handler was described by. */
export function descriptionOf(handler: object): Operation | undefined {
  return descriptions.get(handler);
}

type AnswerOptions = { headers?: z.ZodObject; links?: ZodOpenApiLinksObject; examples?: Record<string, unknown> };

/** An answer with a JSON body. */
export function json(schema: z.ZodType, description: string, options: AnswerOptions = {}): ZodOpenApiResponseObject {
  const { headers, links, examples } = options;
  const named = Object.entries(examples ?? {}).map(([name, value]) => [name, { value }] as const);
  return {
    description,
    content: {
      "application/json": { schema, ...(examples === undefined ? {} : { examples: Object.fromEntries(named) }) },
    },
    ...(headers === undefined ? {} : { headers }),
    ...(links === undefined ? {} : { links }),
  };
}

/** An answer without a body. */
export function empty(description: string): ZodOpenApiResponseObject {
  return { description };
}

function given(schema: Parameters, read: (name: string) => string | undefined): Record<string, string | undefined> {
  return Object.fromEntries(Object.keys(schema.shape).map((name) => [name, read(name)]));
}
