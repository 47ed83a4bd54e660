/** `/v1/models/{owner}/{name}/secrets`: what an owner gives its model's processes, and nobody reads again. */
import { Hono } from "hono";
import * as z from "zod";
import { EdgeplaneError } from "../../contract/errors.ts";
import { MAX_SECRET_CHARS, SecretNameSchema } from "../../contract/model-secrets.ts";
import { deleteModelSecret, listModelSecrets, setModelSecret } from "../../registry/model-secrets.ts";
import type { App } from "../app.ts";
import { empty, json, operation } from "../operation.ts";
import { ModelPathSchema } from "../parameters.ts";
import { ownModelOf } from "./model-path.ts";

/** JSON may write a character as six. */
const MAX_BODY_BYTES = 6 * MAX_SECRET_CHARS + 1024;

const SecretPathSchema = ModelPathSchema.extend({
  secret: SecretNameSchema.meta({ description: "The environment variable.", examples: ["HF_TOKEN"] }),
});
const ListSchema = z.object({
  results: z.array(
    z.object({ name: z.string(), created_at: z.iso.datetime(), updated_at: z.iso.datetime() }).meta({ id: "Secret" }),
  ),
});
const ValueSchema = z.strictObject({
  value: z
    .string()
    .min(1)
    .max(MAX_SECRET_CHARS)
    .refine((value) => !value.includes("\0"), "must not hold the character NUL"),
});

export function secretRoutes(): Hono<App> {
  const routes = new Hono<App>();

  routes.get(
    "/:owner/:name/secrets",
    operation(
      {
        id: "listModelSecrets",
        tag: "Models",
        summary: "List the names of a model's secrets",
        description: "For its owner. No answer ever holds a value.",
        access: "models:read",
        path: ModelPathSchema,
        answers: { 200: json(ListSchema, "The names, in order.") },
        errors: ["model_not_found", "forbidden"],
      },
      async (c, { path }) => {
        const found = await listModelSecrets(c.env.DB, await ownModelOf(c, path));
        const results = found.map(({ name, createdAt, updatedAt }) => ({
          name,
          created_at: new Date(createdAt).toISOString(),
          updated_at: new Date(updatedAt).toISOString(),
        }));
        return c.json({ results } satisfies z.output<typeof ListSchema>);
      },
    ),
  );

  routes.put(
    "/:owner/:name/secrets/:secret",
    operation(
      {
        id: "setModelSecret",
        tag: "Models",
        summary: "Set a secret of a model",
        description:
          "An environment variable of the model's processes, if its `edgeplane.secrets` names it. It is stored sealed. Processes that run keep what they began with.",
        access: "models:write",
        path: SecretPathSchema,
        body: { schema: ValueSchema, maxBytes: MAX_BODY_BYTES, examples: { token: { value: "hf_…" } } },
        answers: { 204: empty("It is set.") },
        errors: ["model_not_found", "forbidden", "quota_exceeded"],
      },
      async (c, { path, body }) => {
        await setModelSecret(c.env, await ownModelOf(c, path), path.secret, body.value);
        return c.body(null, 204);
      },
    ),
  );

  routes.delete(
    "/:owner/:name/secrets/:secret",
    operation(
      {
        id: "deleteModelSecret",
        tag: "Models",
        summary: "Delete a secret of a model",
        access: "models:write",
        path: SecretPathSchema,
        answers: { 204: empty("It is gone.") },
        errors: ["model_not_found", "forbidden"],
      },
      async (c, { path }) => {
        if (await deleteModelSecret(c.env.DB, await ownModelOf(c, path), path.secret)) return c.body(null, 204);
        throw new EdgeplaneError("not_found", "The model has no such secret.");
      },
    ),
  );

  return routes;
}
