/** `/admin/v1/provider-tokens`: the credentials of provider services, and of who reads what is wanted. */
import { Hono } from "hono";
import * as z from "zod";
import { ProviderNameSchema } from "../../contract/provider.ts";
import {
  createScalingToken,
  listScalingTokens,
  NewScalingTokenSchema,
  revokeScalingToken,
  scalingScopes,
} from "../../registry/scaling-tokens.ts";
import type { ScalingToken } from "../../registry/scaling-tokens.ts";
import type { App } from "../app.ts";
import { json, operation } from "../operation.ts";
import { CredentialQuerySchema, DEFAULT_LIMIT, listOf, listSchema, MAX_ADMIN_BYTES } from "./page.ts";
import { revokeRoute } from "./revoke.ts";
import { CredentialSchema, showCredential } from "./views.ts";

const ProviderTokenSchema = CredentialSchema.extend({
  scope: z.enum(scalingScopes),
  providers: z.array(ProviderNameSchema).nullable().meta({ description: "Those that it may speak for; null: any." }),
}).meta({ id: "ProviderToken" });
const NewProviderTokenSchema = ProviderTokenSchema.extend({
  token: z.string().meta({ description: "The token itself: shown once." }),
}).meta({ id: "ProviderTokenWithSecret" });

export function providerTokenRoutes(): Hono<App> {
  const routes = new Hono<App>();

  routes.post(
    "/",
    operation(
      {
        id: "createProviderToken",
        tag: "Operator",
        summary: "Make a provider token",
        access: "operator",
        body: {
          schema: NewScalingTokenSchema,
          maxBytes: MAX_ADMIN_BYTES,
          examples: { service: { name: "box", scope: "provider", providers: ["local"] } },
        },
        answers: { 201: json(NewProviderTokenSchema, "The token, with its secret.") },
      },
      async (c, { body }) => {
        const { token, secret } = await createScalingToken(c.env, body);
        return c.json({ ...show(token), token: secret }, 201);
      },
    ),
  );

  routes.get(
    "/",
    operation(
      {
        id: "listProviderTokens",
        tag: "Operator",
        summary: "List the provider tokens",
        access: "operator",
        query: CredentialQuerySchema,
        answers: { 200: json(listSchema(ProviderTokenSchema), "A page, oldest first.") },
      },
      async (c, { query: { cursor, limit = DEFAULT_LIMIT, revoked } }) => {
        const page = { after: cursor, limit: limit + 1, revoked: revoked === "true" };
        return c.json(listOf(await listScalingTokens(c.env.DB, page), limit, show));
      },
    ),
  );

  routes.delete(
    "/:id",
    revokeRoute({
      id: "revokeProviderToken",
      summary: "Revoke a provider token",
      name: "provider token",
      revoke: revokeScalingToken,
    }),
  );

  return routes;
}

function show(token: ScalingToken): z.output<typeof ProviderTokenSchema> {
  return { ...showCredential(token), scope: token.scope, providers: token.providers };
}
