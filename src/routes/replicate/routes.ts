/** `/v1/models/{owner}/{name}/routes`: which requests that name the model alone get which of its versions. */
import { Hono } from "hono";
import * as z from "zod";
import { RulesSchema } from "../../canary/routes.ts";
import type { Rule } from "../../canary/routes.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import type { ModelName } from "../../registry/known-models.ts";
import { readRules, saveRules } from "../../registry/pointers.ts";
import { refuseUnlessLive } from "../../registry/version-state.ts";
import type { App, AppContext } from "../app.ts";
import { nudgePools } from "../nudge-pools.ts";
import { json, operation } from "../operation.ts";
import { ModelPathSchema } from "../parameters.ts";
import { findNamed } from "./find-target.ts";
import { ownModelOf } from "./model-path.ts";

const MAX_ROUTES_BYTES = 256 * 1024;

const RoutesSchema = z.object({ rules: RulesSchema }).meta({ id: "Routes" });

export function ruleRoutes(): Hono<App> {
  const routes = new Hono<App>();

  routes.get(
    "/:owner/:name/routes",
    operation(
      {
        id: "getRoutes",
        tag: "Models",
        summary: "Read by which rules requests get a model's versions",
        access: "models:read",
        path: ModelPathSchema,
        answers: { 200: json(RoutesSchema, "The rules, in their order; none: all get `latest`.") },
        errors: ["model_not_found", "forbidden"],
      },
      async (c, { path }) => c.json({ rules: await readRules(c.env.DB, await ownModelOf(c, path)) }),
    ),
  );

  routes.put(
    "/:owner/:name/routes",
    operation(
      {
        id: "putRoutes",
        tag: "Models",
        summary: "Say which requests get which of a model's versions",
        description:
          "For requests that name the model and no version: the first rule that fits decides; where none does, `latest`. An empty list takes the rules away.",
        access: "models:write",
        path: ModelPathSchema,
        body: {
          schema: RoutesSchema,
          maxBytes: MAX_ROUTES_BYTES,
          examples: { beta: { rules: [{ header: { name: "x-channel", value: "beta" }, version: "beta" }] } },
        },
        answers: { 200: json(RoutesSchema, "The rules as they hold now.") },
        errors: ["model_not_found", "forbidden", "version_deleted", "version_pending"],
      },
      async (c, { path, body: { rules } }) => {
        const model = await ownModelOf(c, path);
        await checkVersions(c, { owner: model.owner, name: model.name }, rules);
        await saveRules(c.env.DB, model, rules);
        c.executionCtx.waitUntil(nudgePools(c.env, model, "models"));
        return c.json({ rules });
      },
    ),
  );

  return routes;
}

/**
 * Throws `invalid_input` for a rule whose version or alias isn't there, and `version_pending` for one that isn't live.
 */
async function checkVersions(c: AppContext, model: ModelName, rules: readonly Rule[]): Promise<void> {
  const invalidFields = [];
  for (const [index, { version }] of rules.entries()) {
    const found = await findNamed(c.env.DB, c.get("principal"), model, version);
    if (found !== null) refuseUnlessLive(found);
    else invalidFields.push({ field: `rules.${index}.version`, description: "is no version or alias of the model" });
  }
  if (invalidFields.length === 0) return;
  const detail = invalidFields.map(({ field, description }) => `- ${field}: ${description}\n`).join("");
  throw new EdgeplaneError("invalid_input", detail, { invalidFields });
}
