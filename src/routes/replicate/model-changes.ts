/** Making, describing and deleting models. https://replicate.com/docs/reference/http#models.create */
import { Hono } from "hono";
import * as z from "zod";
import { EdgeplaneError } from "../../contract/errors.ts";
import {
  createModel,
  deleteModel,
  ModelChangeSchema,
  NewModelSchema,
  updateModel,
} from "../../registry/model-changes.ts";
import { deleteVersion } from "../../registry/delete-version.ts";
import { findVersion } from "../../registry/models.ts";
import type { App, AppContext } from "../app.ts";
import { empty, json, operation } from "../operation.ts";
import { ModelPathSchema, VersionPathSchema } from "../parameters.ts";
import { nudgePools } from "../nudge-pools.ts";
import { nudgeScaler } from "../nudge-scaler.ts";
import { modelOf, ownModelOf } from "./model-path.ts";
import { ModelSchema, showModel } from "./model-view.ts";

/** What a change may weigh: a readme of 256 Ki characters, and the rest. */
const MAX_MODEL_BYTES = 2 * 1024 * 1024;

export function changeRoutes(): Hono<App> {
  const routes = new Hono<App>();

  routes.post(
    "/",
    operation(
      {
        id: "createModel",
        tag: "Models",
        summary: "Make a model",
        description:
          "It has no version until a pool offers one under its name. `owner` is the name of the account that asks.",
        access: "models:write",
        body: {
          schema: NewModelSchema,
          maxBytes: MAX_MODEL_BYTES,
          examples: { private: { owner: "local", name: "my-model", visibility: "private", hardware: "cpu" } },
        },
        answers: { 201: json(ModelSchema, "The model.") },
        errors: ["already_exists", "quota_exceeded"],
      },
      async (c, { body }) => {
        if (body.owner !== c.get("principal").accountName) {
          throw new EdgeplaneError("forbidden", "`owner` must be the name of the account that asks.");
        }
        await createModel(c.env, body);
        return c.json(await shown(c, body), 201);
      },
    ),
  );

  routes.patch(
    "/:owner/:name",
    operation(
      {
        id: "updateModel",
        tag: "Models",
        summary: "Change what a model says of itself",
        description:
          "Fields that are left out stay; null empties one. Pools that serve the model follow its `configuration` at once, or within five minutes where they can't be told.",
        access: "models:write",
        path: ModelPathSchema,
        body: { schema: ModelChangeSchema, maxBytes: MAX_MODEL_BYTES, examples: { public: { visibility: "public" } } },
        answers: { 200: json(ModelSchema, "The model as it is now.") },
        errors: ["model_not_found", "forbidden"],
      },
      async (c, { path, body }) => {
        await updateModel(c.env, await ownModelOf(c, path), body);
        if (body.configuration !== undefined) {
          c.executionCtx.waitUntil(nudgePools(c.env, path, "configurations"));
          c.executionCtx.waitUntil(nudgeScaler(c.env));
        }
        return c.json(await shown(c, path));
      },
    ),
  );

  routes.delete(
    "/:owner/:name",
    operation(
      {
        id: "deleteModel",
        tag: "Models",
        summary: "Delete a private model that has no versions",
        access: "models:write",
        path: ModelPathSchema,
        answers: { 204: empty("It is gone.") },
        errors: ["model_not_found", "forbidden", "conflict"],
      },
      async (c, { path }) => {
        await deleteModel(c.env, await ownModelOf(c, path));
        return c.body(null, 204);
      },
    ),
  );

  routes.delete(
    "/:owner/:name/versions/:version",
    operation(
      {
        id: "deleteVersion",
        tag: "Models",
        summary: "Delete a version of a private model",
        description:
          "Refused when another account has run it, and, without `force`, while `latest`, an alias or a deployment points to it, a canary tries it or a rule names it. What was accepted runs to its end.",
        access: "models:write",
        path: VersionPathSchema,
        query: z.object({
          force: z.enum(["true", "false"]).default("false").meta({
            description:
              "`true`: also while something points to it. Aliases, canaries and rules go with it, the newest version that is left becomes `latest`, and deployments that name it refuse predictions until they are moved.",
          }),
        }),
        answers: { 202: empty("It is gone.") },
        errors: ["model_not_found", "forbidden", "conflict"],
      },
      async (c, { path, query }) => {
        const model = await ownModelOf(c, path);
        const principal = c.get("principal");
        const version = await findVersion(c.env.DB, principal, model, path.version);
        if (version === null) throw new EdgeplaneError("not_found", "The model has no such version.");
        const isForced = query.force === "true";
        await deleteVersion(c.env, model, { id: path.version, ownerAccountId: principal.accountId, isForced });
        c.executionCtx.waitUntil(nudgePools(c.env, model, "models", version.manifest.lane));
        return c.body(null, 202);
      },
    ),
  );

  return routes;
}

async function shown(c: AppContext, path: { owner: string; name: string }) {
  return showModel(await modelOf(c, path), new URL(c.req.url).origin);
}
