/** `/pool/v1/models`: the pushed versions that a pool may fetch, their files, and what went wrong with them. */
import { Hono } from "hono";
import * as z from "zod";
import { BundleSchema, Sha256Schema, sha256Of } from "../../contract/bundle.ts";
import { SESSION_HEADER } from "../../contract/claim.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import {
  DesiredModelsSchema,
  MAX_PROBLEM_LOG_CHARS,
  VersionProblemReplySchema,
  VersionProblemSchema,
} from "../../contract/push.ts";
import { isFetchable, noteFetched, noteProblem } from "../../registry/bundles.ts";
import type { VersionName } from "../../registry/bundles.ts";
import { desiredModels } from "../../registry/desired-models.ts";
import { trustedOwners } from "../../registry/registration.ts";
import { chunkKey } from "../../storage/chunks.ts";
import type { App, AppContext } from "../app.ts";
import { json, operation } from "../operation.ts";
import { ModelPathSchema, VersionPathSchema } from "../parameters.ts";
import { blobAnswers, BlobHeaderSchema, serveBlob } from "../serve-blob.ts";

/** JSON may write a character as six. */
const MAX_PROBLEM_BYTES = 6 * MAX_PROBLEM_LOG_CHARS + 65_536;

const SessionHeaderSchema = z.object({
  [SESSION_HEADER]: z.string().max(64).optional().meta({ description: "The pool's session: it names the host." }),
});
const ListHeaderSchema = SessionHeaderSchema.extend({
  "If-None-Match": z.string().optional().meta({ description: "The `ETag` of the list that is at hand." }),
});
const ListQuerySchema = z.object({
  isolation: z.enum(["namespaces", "user", "none"]).optional().meta({
    description: "What keeps models from the pool's secrets; for `none` the list has only owners that are trusted.",
  }),
});
const ChunkPathSchema = ModelPathSchema.extend({
  sha256: Sha256Schema.meta({ description: "The content's SHA-256, in hexadecimal." }),
});

export function poolModelRoutes(): Hono<App> {
  const routes = new Hono<App>();

  routes.get(
    "/",
    operation(
      {
        id: "listDesiredModels",
        tag: "Pools",
        summary: "List the pushed versions that the pool may fetch",
        description:
          "Of the token's owners, on its lanes; 400 at most: the live ones first, " +
          "and of these the newest of each owner in turn. Pending ones are among the live where the token may register models.",
        access: "pool",
        query: ListQuerySchema,
        header: ListHeaderSchema,
        answers: {
          200: json(DesiredModelsSchema, "The versions."),
          304: { description: "They are those that `If-None-Match` names." },
        },
      },
      async (c, { query, header }) => {
        const pool = c.get("pool");
        const trusted = trustedOwners(c.env);
        const owners =
          query.isolation === "none" ? pool.owners.filter((owner) => trusted.includes(owner)) : pool.owners;
        const session = header[SESSION_HEADER] ?? "";
        const text = JSON.stringify(await desiredModels(c.env.DB, { ...pool, owners, session }));
        const etag = `"${await sha256Of(new Uint8Array(new TextEncoder().encode(text)))}"`;
        const isKnown = header["If-None-Match"]?.split(",").some((tag) => tag.trim().replace(/^W\//, "") === etag);
        if (isKnown === true) return c.body(null, 304, { etag });
        return c.body(text, 200, { "content-type": "application/json", etag });
      },
    ),
  );

  routes.get(
    "/:owner/:name/versions/:version/bundle",
    operation(
      {
        id: "getBundle",
        tag: "Pools",
        summary: "Read the list of a pushed version's files",
        description: "Its SHA-256 is the version.",
        access: "pool",
        path: VersionPathSchema,
        answers: { 200: json(BundleSchema, "The list.") },
      },
      async (c, { path }) => {
        await checkVersion(c, path);
        const object = await c.env.BLOBS.get(chunkKey(path.owner, path.version));
        if (object === null) throw new EdgeplaneError("not_found", "The list of the version's files is gone.");
        if (c.get("pool").mayRegisterModels) await noteFetched(c.env.DB, path);
        const headers = { "content-type": "application/json", "content-length": String(object.size) };
        return new Response(object.body, { headers: { ...headers, "cache-control": "private, no-transform" } });
      },
    ),
  );

  routes.get(
    "/:owner/:name/chunks/:sha256",
    operation(
      {
        id: "getChunk",
        tag: "Pools",
        summary: "Read a chunk of an owner's pushed files",
        description: "The token must have the owner.",
        access: "pool",
        path: ChunkPathSchema,
        header: BlobHeaderSchema,
        answers: blobAnswers,
        errors: ["range_not_satisfiable"],
      },
      async (c, { path: { owner, sha256 } }) => {
        if (!c.get("pool").owners.includes(owner)) throw notOfToken();
        const answer = await serveBlob(c.req.raw, c.env.BLOBS, chunkKey(owner, sha256), sha256);
        if (answer === null) throw notOfToken();
        return answer;
      },
    ),
  );

  routes.post(
    "/:owner/:name/versions/:version/problem",
    operation(
      {
        id: "reportVersionProblem",
        tag: "Pools",
        summary: "Say why a pushed version can't be run",
        description:
          "A version whose schema isn't known is `failed` once three hosts failed at the same stage, or all that are connected and may run it have tried; the only one tries twice. It is live as soon as any host sets it up, and pending again when it is pushed again.",
        access: "pool",
        path: VersionPathSchema,
        body: {
          schema: VersionProblemSchema,
          maxBytes: MAX_PROBLEM_BYTES,
          loneSurrogates: "replaced",
          examples: { build: { stage: "build", problem: "no matching distribution found for torch==9", log: "" } },
        },
        header: SessionHeaderSchema,
        answers: { 200: json(VersionProblemReplySchema, "Noted.") },
      },
      async (c, { path, body, header }) => {
        await checkVersion(c, path);
        const reporter = { token: c.get("pool").poolTokenId, session: header[SESSION_HEADER] ?? "" };
        return c.json({ againInMs: await noteProblem(c.env, path, reporter, body) });
      },
    ),
  );

  return routes;
}

/** Throws `not_found` unless the token has the owner and the version's lane. */
async function checkVersion(c: AppContext, version: VersionName): Promise<void> {
  const { owners, lanes } = c.get("pool");
  if (owners.includes(version.owner) && (await isFetchable(c.env.DB, version, lanes))) return;
  throw notOfToken();
}

function notOfToken(): EdgeplaneError {
  return new EdgeplaneError("not_found", "There is no such pushed version of this token's owners on its lanes.");
}
