/**
 * `/pool/v1/environments`: environments that a pool has built, for other pools of the same owner. All that have the
 * owner may read; to store is a right of its own, since others run what is stored.
 */
import { Hono } from "hono";
import * as z from "zod";
import { Sha256Schema } from "../../contract/bundle.ts";
import {
  FoundLayerSchema,
  LayerProblemSchema,
  LayerSchema,
  LayerVerdictSchema,
  NewLayerSchema,
} from "../../contract/environment-layer.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import { NameSchema } from "../../contract/manifest.ts";
import { MissingChunksRequestSchema, MissingChunksSchema } from "../../contract/push.ts";
import { missingChunks } from "../../registry/chunks.ts";
import { findLayer, judgeLayer, storeLayer } from "../../registry/environment-layers.ts";
import { chunkKey, environmentChunksOf } from "../../storage/chunks.ts";
import type { App, AppContext } from "../app.ts";
import { empty, json, operation } from "../operation.ts";
import { receiveChunk } from "../replicate/receive-chunks.ts";
import { blobAnswers, BlobHeaderSchema, serveBlob } from "../serve-blob.ts";

const EXAMPLE_HASH = "ab".repeat(32);
const OwnerPathSchema = z.object({
  owner: NameSchema.meta({ description: "The owner of the models that use it.", examples: ["local"] }),
});
const ChunkPathSchema = OwnerPathSchema.extend({
  sha256: Sha256Schema.meta({ description: "The content's SHA-256, in hexadecimal." }),
});
const LayerPathSchema = OwnerPathSchema.extend({
  key: Sha256Schema.meta({ description: "The SHA-256 of what the environment is built from." }),
});
const octets = {
  required: true,
  content: { "application/octet-stream": { schema: { type: "string" as const, format: "binary" } } },
};

export function environmentRoutes(): Hono<App> {
  const routes = new Hono<App>();

  routes.post(
    "/:owner/chunks/missing",
    operation(
      {
        id: "findMissingEnvironmentChunks",
        tag: "Pools",
        summary: "Ask which chunks of an environment have to be sent",
        access: "pool",
        path: OwnerPathSchema,
        body: { schema: MissingChunksRequestSchema, examples: { one: { chunks: [EXAMPLE_HASH] } } },
        answers: { 200: json(MissingChunksSchema, "Those that are not here; the others stay for a day at least.") },
        errors: ["forbidden"],
      },
      async (c, { path: { owner }, body }) => {
        checkWriter(c, owner);
        return c.json({ missing: await missingChunks(c.env.DB, environmentChunksOf(owner), body.chunks) });
      },
    ),
  );

  routes.put(
    "/:owner/chunks/:sha256",
    operation(
      {
        id: "putEnvironmentChunk",
        tag: "Pools",
        summary: "Send a chunk of an environment",
        description: "The bytes alone, 64 MiB at most, with their `Content-Length`.",
        access: "pool",
        path: ChunkPathSchema,
        rawBody: octets,
        answers: { 204: empty("It is here.") },
        errors: [
          ...(["forbidden", "quota_exceeded", "unavailable", "length_required"] as const),
          ...(["payload_too_large", "invalid_request", "chunk_mismatch"] as const),
        ],
      },
      async (c, { path: { owner, sha256 } }) => {
        checkWriter(c, owner);
        await receiveChunk(c, environmentChunksOf(owner), sha256);
        return c.body(null, 204);
      },
    ),
  );

  routes.get(
    "/:owner/chunks/:sha256",
    operation(
      {
        id: "getEnvironmentChunk",
        tag: "Pools",
        summary: "Read a chunk of an owner's environments",
        access: "pool",
        path: ChunkPathSchema,
        header: BlobHeaderSchema,
        answers: blobAnswers,
        errors: ["not_found", "range_not_satisfiable"],
      },
      async (c, { path: { owner, sha256 } }) => {
        checkReader(c, owner);
        const key = chunkKey(environmentChunksOf(owner), sha256);
        const answer = await serveBlob(c.req.raw, c.env.BLOBS, key, sha256);
        if (answer === null) throw notOfToken();
        return answer;
      },
    ),
  );

  routes.get(
    "/:owner/:key",
    operation(
      {
        id: "findEnvironment",
        tag: "Pools",
        summary: "Look for a stored environment",
        access: "pool",
        path: LayerPathSchema,
        answers: { 200: json(FoundLayerSchema, "The environment, if there is one.") },
        errors: ["not_found"],
      },
      async (c, { path }) => {
        checkReader(c, path.owner);
        return c.json({ layer: await findLayer(c.env.DB, path), mayStore: c.get("pool").mayStoreEnvironments });
      },
    ),
  );

  routes.put(
    "/:owner/:key",
    operation(
      {
        id: "storeEnvironment",
        tag: "Pools",
        summary: "Store an environment whose chunks were sent",
        description: "The first of a key is kept; whoever comes later is answered with that one.",
        access: "pool",
        path: LayerPathSchema,
        body: { schema: NewLayerSchema },
        answers: {
          200: json(LayerSchema, "The one that was there already."),
          201: json(LayerSchema, "It is stored."),
        },
        errors: ["forbidden", "quota_exceeded", "unavailable", "bundle_incomplete", "chunk_mismatch"],
      },
      async (c, { path, body }) => {
        checkWriter(c, path.owner);
        const { layer, created } = await storeLayer(c.env, path, body, c.get("pool").poolTokenId);
        return c.json(layer, created ? 201 : 200);
      },
    ),
  );

  routes.post(
    "/:owner/:key/problem",
    operation(
      {
        id: "reportEnvironmentProblem",
        tag: "Pools",
        summary: "Say that a chunk of an environment is not what its name says",
        description: "The chunk is read to see whether that is so. Then the environment goes, to be stored anew.",
        access: "pool",
        path: LayerPathSchema,
        body: { schema: LayerProblemSchema, examples: { one: { chunk: EXAMPLE_HASH } } },
        answers: { 200: json(LayerVerdictSchema, "What was found.") },
        errors: ["not_found"],
      },
      async (c, { path, body }) => {
        checkReader(c, path.owner);
        return c.json({ removed: await judgeLayer(c.env, path, body.chunk) });
      },
    ),
  );

  return routes;
}

function checkReader(c: AppContext, owner: string): void {
  if (!c.get("pool").owners.includes(owner)) throw notOfToken();
}

function checkWriter(c: AppContext, owner: string): void {
  checkReader(c, owner);
  if (c.get("pool").mayStoreEnvironments) return;
  throw new EdgeplaneError(
    "forbidden",
    "This pool token may not store environments: make one with `may_store_environments` for a host that you trust.",
  );
}

function notOfToken(): EdgeplaneError {
  return new EdgeplaneError("not_found", "There is no such environment of this token's owners.");
}
