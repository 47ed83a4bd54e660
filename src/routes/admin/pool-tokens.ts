/** `/admin/v1/pool-tokens`: the credentials of GPU hosts. */
import { Hono } from "hono";
import { createPoolToken, listPoolTokens, NewPoolTokenSchema, revokePoolToken } from "../../registry/pool-tokens.ts";
import type { App } from "../app.ts";
import { json, operation } from "../operation.ts";
import { CredentialQuerySchema, DEFAULT_LIMIT, listOf, listSchema, MAX_ADMIN_BYTES } from "./page.ts";
import { revokeRoute } from "./revoke.ts";
import { NewPoolTokenViewSchema, PoolTokenSchema, showToken } from "./views.ts";

export function poolTokenRoutes(): Hono<App> {
  const routes = new Hono<App>();

  routes.post(
    "/",
    operation(
      {
        id: "createPoolToken",
        tag: "Operator",
        summary: "Make a pool token",
        access: "operator",
        body: {
          schema: NewPoolTokenSchema,
          maxBytes: MAX_ADMIN_BYTES,
          examples: { box: { name: "box", lanes: ["default"], may_register_models: true, owners: ["local"] } },
        },
        answers: { 201: json(NewPoolTokenViewSchema, "The token, with its secret.") },
      },
      async (c, { body }) => {
        const { token, secret } = await createPoolToken(c.env, body);
        return c.json({ ...showToken(token), token: secret }, 201);
      },
    ),
  );

  routes.get(
    "/",
    operation(
      {
        id: "listPoolTokens",
        tag: "Operator",
        summary: "List the pool tokens",
        access: "operator",
        query: CredentialQuerySchema,
        answers: { 200: json(listSchema(PoolTokenSchema), "A page, oldest first.") },
      },
      async (c, { query: { cursor, limit = DEFAULT_LIMIT, revoked } }) => {
        const page = { after: cursor, limit: limit + 1, revoked: revoked === "true" };
        return c.json(listOf(await listPoolTokens(c.env.DB, page), limit, showToken));
      },
    ),
  );

  routes.delete(
    "/:id",
    revokeRoute({
      id: "revokePoolToken",
      summary: "Revoke a pool token",
      name: "pool token",
      revoke: revokePoolToken,
    }),
  );

  return routes;
}
