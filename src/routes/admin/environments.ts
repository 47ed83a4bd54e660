/** `/admin/v1/environments`: what pools have built and stored for others. */
import { Hono } from "hono";
import * as z from "zod";
import { Sha256Schema } from "../../contract/bundle.ts";
import { LayerAboutSchema } from "../../contract/environment-layer.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import { NameSchema } from "../../contract/manifest.ts";
import { listLayers, removeLayer } from "../../registry/environment-layers.ts";
import type { StoredLayer } from "../../registry/environment-layers.ts";
import type { App } from "../app.ts";
import { empty, json, operation } from "../operation.ts";
import { wholeNumber } from "../parameters.ts";
import { DEFAULT_LIMIT, listSchema } from "./page.ts";

const MAX_LIMIT = 1000;
const CURSOR = /^[a-z0-9][a-z0-9._-]{0,62}\/[0-9a-f]{64}$/;

const EnvironmentSchema = LayerAboutSchema.omit({ buildMs: true, compiledFor: true })
  .extend({
    owner: NameSchema,
    key: Sha256Schema.meta({ description: "The SHA-256 of what it is built from." }),
    bytes: z.int(),
    build_s: z.number().meta({ description: "How long the pool took to install it." }),
    pool_token: z.string().meta({ description: "The id of the pool token that stored it." }),
    created_at: z.iso.datetime(),
    used_at: z.iso.datetime().meta({ description: "When a pool asked for it last, a day late at most." }),
  })
  .meta({ id: "StoredEnvironment" });

const ListQuerySchema = z.object({
  limit: wholeNumber(1, MAX_LIMIT)
    .optional()
    .meta({ description: `How many at most; ${DEFAULT_LIMIT}.` }),
  cursor: z.string().regex(CURSOR, "must be `next_cursor` of the page before").optional(),
  owner: NameSchema.optional().meta({ description: "Only this owner's." }),
});
const PathSchema = z.object({ owner: NameSchema, key: Sha256Schema });

export function storedEnvironmentRoutes(): Hono<App> {
  const routes = new Hono<App>();

  routes.get(
    "/",
    operation(
      {
        id: "listEnvironments",
        tag: "Operator",
        summary: "List the stored environments",
        access: "operator",
        query: ListQuerySchema,
        answers: { 200: json(listSchema(EnvironmentSchema), "A page, by owner.") },
      },
      async (c, { query: { limit = DEFAULT_LIMIT, cursor, owner = null } }) => {
        const [afterOwner = "", key = ""] = cursor?.split("/") ?? [];
        const after = cursor === undefined ? null : { owner: afterOwner, key };
        const found = await listLayers(c.env.DB, { owner, after, limit: limit + 1 });
        const last = found[limit - 1];
        const next = found.length > limit && last !== undefined ? `${last.owner}/${last.key}` : null;
        return c.json({ results: found.slice(0, limit).map(show), next_cursor: next });
      },
    ),
  );

  routes.delete(
    "/:owner/:key",
    operation(
      {
        id: "deleteEnvironment",
        tag: "Operator",
        summary: "Delete a stored environment",
        description: "Pools that have unpacked it keep it; the next that needs it builds it, and may store it anew.",
        access: "operator",
        path: PathSchema,
        answers: { 204: empty("It is gone.") },
        errors: ["not_found"],
      },
      async (c, { path }) => {
        if (await removeLayer(c.env, path)) return c.body(null, 204);
        throw new EdgeplaneError("not_found", "There is no such stored environment.");
      },
    ),
  );

  return routes;
}

function show({ owner, key, poolTokenId, createdAt, usedAt, layer }: StoredLayer): z.output<typeof EnvironmentSchema> {
  const { buildMs, compiledFor: _, ...about } = layer.about;
  return {
    ...{ owner, key, ...about, bytes: layer.bytes, build_s: buildMs / 1000, pool_token: poolTokenId },
    ...{ created_at: new Date(createdAt).toISOString(), used_at: new Date(usedAt).toISOString() },
  };
}
