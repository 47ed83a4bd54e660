/** Pushing a model: chunks of its files, then the version that they make. docs/push.md */
import { Hono } from "hono";
import * as z from "zod";
import { Sha256Schema } from "../../contract/bundle.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import { NameSchema } from "../../contract/manifest.ts";
import { MissingChunksRequestSchema, MissingChunksSchema, PushSchema } from "../../contract/push.ts";
import type { Push } from "../../contract/push.ts";
import { registerBundle } from "../../registry/bundles.ts";
import { missingChunks } from "../../registry/chunks.ts";
import { NewNameSchema } from "../../registry/model-changes.ts";
import { findVersion } from "../../registry/models.ts";
import { checkPushedPlugins } from "../../sandbox/pushed/check.ts";
import { answerJson } from "../answer-json.ts";
import type { App, AppContext } from "../app.ts";
import { nudgePools } from "../nudge-pools.ts";
import { empty, json, operation } from "../operation.ts";
import { pushedPolicyOf } from "../request-settings.ts";
import { showVersion, VersionSchema } from "./model-view.ts";
import { receiveChunk, receiveFrames } from "./receive-chunks.ts";

const MAX_MANIFEST_CHARS = 1024 * 1024;
const refusals = ["forbidden", "model_forbidden", "quota_exceeded", "unavailable"] as const;

const pluginRefusals = [
  "plugins_not_allowed",
  "plugins_unavailable",
  "plugin_invalid",
  "plugin_missing",
  "plugin_cycle",
] as const;

const PushPathSchema = z.object({
  owner: NameSchema.meta({ description: "The name of the account that asks.", examples: ["local"] }),
  name: NewNameSchema.meta({ description: "The model's name; one that isn't there is made.", examples: ["my-model"] }),
});
const ChunkPathSchema = PushPathSchema.extend({
  sha256: Sha256Schema.meta({ description: "The content's SHA-256, in hexadecimal." }),
});
type PushPath = z.output<typeof PushPathSchema>;

const EXAMPLE_HASH = "ab".repeat(32);
const octets = {
  required: true,
  content: { "application/octet-stream": { schema: { type: "string" as const, format: "binary" } } },
};

export function pushRoutes(): Hono<App> {
  const routes = new Hono<App>();

  routes.post(
    "/:owner/:name/chunks/missing",
    operation(
      {
        id: "findMissingChunks",
        tag: "Models",
        summary: "Ask which chunks of a push have to be sent",
        description: "The others are here, and stay for a day at least.",
        access: "models:write",
        path: PushPathSchema,
        body: { schema: MissingChunksRequestSchema, examples: { one: { chunks: [EXAMPLE_HASH] } } },
        answers: { 200: json(MissingChunksSchema, "Those that are not here.") },
        errors: ["forbidden", "model_forbidden"],
      },
      async (c, { path, body }) => {
        checkOwner(c, path);
        return c.json({ missing: await missingChunks(c.env.DB, path.owner, body.chunks) });
      },
    ),
  );

  routes.put(
    "/:owner/:name/chunks/:sha256",
    operation(
      {
        id: "putChunk",
        tag: "Models",
        summary: "Send a chunk of a file",
        description:
          "The bytes alone, 64 MiB at most, with their `Content-Length`. Another content than the address names is refused.",
        access: "models:write",
        path: ChunkPathSchema,
        rawBody: octets,
        answers: { 204: empty("It is here.") },
        errors: [...refusals, "length_required", "payload_too_large", "invalid_request", "chunk_mismatch"],
      },
      async (c, { path }) => {
        checkOwner(c, path);
        await receiveChunk(c, path.owner, path.sha256);
        return c.body(null, 204);
      },
    ),
  );

  routes.post(
    "/:owner/:name/chunks",
    operation(
      {
        id: "putChunks",
        tag: "Models",
        summary: "Send many small chunks at once",
        description:
          "For each: the 32 bytes of its SHA-256, its length in four bytes (big end first), and its content; 256 chunks and 8 MiB at most. Those that are right are stored, whatever others are.",
        access: "models:write",
        path: PushPathSchema,
        rawBody: octets,
        answers: { 204: empty("They are here.") },
        errors: [...refusals, "length_required", "payload_too_large", "invalid_request", "chunk_mismatch"],
      },
      async (c, { path }) => {
        checkOwner(c, path);
        await receiveFrames(c, path.owner);
        return c.body(null, 204);
      },
    ),
  );

  routes.post(
    "/:owner/:name/versions",
    operation(
      {
        id: "pushVersion",
        tag: "Models",
        summary: "Register a version of files that were sent",
        description:
          "The version is the SHA-256 of the list of its files: pushed again it is the same, and is asked for anew. With its schema it is live at once; without, it is `pending` until a pool has set it up. A model that isn't there is made, as a private one.",
        access: "models:write",
        path: PushPathSchema,
        body: { schema: PushSchema },
        answers: {
          200: json(VersionSchema, "The version was there already."),
          201: json(VersionSchema, "The version."),
        },
        errors: [...refusals, "bundle_incomplete", "chunk_mismatch", "conflict", ...pluginRefusals],
      },
      async (c, { path, body }) => {
        checkOwner(c, path);
        return answerPush(c, path, body);
      },
    ),
  );

  return routes;
}

/** Throws `forbidden` for another's model, and `model_forbidden` for one that the key may not use. */
function checkOwner(c: AppContext, { owner, name }: PushPath): void {
  const { accountName, models } = c.get("principal");
  if (owner !== accountName) {
    const detail = `The key is of the account "${accountName}", and only the account "${owner}" may push its models.`;
    throw new EdgeplaneError("forbidden", detail);
  }
  if (models === undefined || models.includes(`${owner}/${name}`) || models.includes(`${owner}/*`)) return;
  throw new EdgeplaneError("model_forbidden", `The key may not use the model ${owner}/${name}.`);
}

async function answerPush(c: AppContext, { owner, name }: PushPath, push: Push): Promise<Response> {
  if (JSON.stringify(push.manifest).length > MAX_MANIFEST_CHARS) {
    const detail = `What the version says of itself, its schema above all, has more than ${MAX_MANIFEST_CHARS} characters.`;
    throw new EdgeplaneError("payload_too_large", detail);
  }
  const model = { owner, name };
  const policy = await pushedPolicyOf(c);
  const { version: id, created } = await registerBundle(c.env, model, push, (version) =>
    checkPushedPlugins(c.env, policy, version, push.bundle),
  );
  c.executionCtx.waitUntil(nudgePools(c.env, model, "models"));
  const version = await findVersion(c.env.DB, c.get("principal"), model, id);
  if (version === null) throw new EdgeplaneError("conflict", "The version was deleted while it was pushed.");
  return answerJson(c, showVersion(version), created ? 201 : 200);
}
