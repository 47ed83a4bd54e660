/** `/v1/account`, `/v1/hardware` and `/v1/webhooks/default/secret`. */
import { Hono } from "hono";
import * as z from "zod";
import { EdgeplaneError } from "../../contract/errors.ts";
import { accountTypes, findAccount } from "../../registry/accounts.ts";
import type { Account } from "../../registry/accounts.ts";
import { HardwareSchema, listHardware } from "../../registry/devices.ts";
import { currentWebhookSecret, rotateWebhookSecret } from "../../webhooks/secrets.ts";
import type { App, AppContext } from "../app.ts";
import { json, operation } from "../operation.ts";

export const AccountViewSchema = z
  .object({
    type: z.enum(accountTypes),
    username: z.string(),
    name: z.string(),
    github_url: z.null(),
    avatar_url: z.null(),
  })
  .meta({ id: "Account" });

const WebhookSecretSchema = z
  .object({ key: z.string().meta({ description: "`whsec_…`: verify the signatures of webhooks with it." }) })
  .meta({ id: "WebhookSecret" });

export function accountRoutes(): Hono<App> {
  const routes = new Hono<App>();

  routes.get(
    "/account",
    operation(
      {
        id: "getAccount",
        tag: "Account",
        summary: "Read the caller's account",
        access: "account:read",
        answers: { 200: json(AccountViewSchema, "The account.") },
        errors: ["not_found"],
      },
      async (c) => c.json(showAccount(await accountOf(c))),
    ),
  );

  routes.get(
    "/hardware",
    operation(
      {
        id: "listHardware",
        tag: "Models",
        summary: "List the kinds of device that pools have reported",
        access: "models:read",
        answers: { 200: json(z.array(HardwareSchema), "All kinds, by name.") },
      },
      async (c) => c.json(await listHardware(c.env.DB)),
    ),
  );

  routes.get(
    "/webhooks/default/secret",
    operation(
      {
        id: "getWebhookSecret",
        tag: "Account",
        summary: "Read the secret that signs the account's webhooks",
        access: "account:read",
        answers: { 200: json(WebhookSecretSchema, "The secret.") },
      },
      async (c) => c.json({ key: await currentWebhookSecret(c.env, c.get("principal").accountId) }),
    ),
  );

  routes.post(
    "/webhooks/default/secret",
    operation(
      {
        id: "rotateWebhookSecret",
        tag: "Account",
        summary: "Make a new secret for the account's webhooks",
        description: "The secret before signs on for a day beside the new one, so that receivers can change over.",
        access: "account:write",
        answers: { 201: json(WebhookSecretSchema, "The new secret.") },
        errors: ["rate_limited"],
      },
      async (c) => c.json({ key: await rotateWebhookSecret(c.env, c.get("principal").accountId) }, 201),
    ),
  );

  return routes;
}

export function showAccount({ type, name }: Account): z.output<typeof AccountViewSchema> {
  return { type, username: name, name, github_url: null, avatar_url: null };
}

/** The account that calls. Throws `not_found` when it is gone. */
export async function accountOf(c: AppContext): Promise<Account> {
  const account = await findAccount(c.env.DB, c.get("principal").accountId);
  if (account === null) throw new EdgeplaneError("not_found", "The account is gone.");
  return account;
}
