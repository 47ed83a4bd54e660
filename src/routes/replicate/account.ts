/** `/v1/account`, `/v1/hardware` and `/v1/webhooks/default/secret`. */
import { Hono } from "hono";
import { EdgeplaneError } from "../../contract/errors.ts";
import { findAccount } from "../../registry/accounts.ts";
import type { Account } from "../../registry/accounts.ts";
import { listHardware } from "../../registry/devices.ts";
import { currentWebhookSecret, rotateWebhookSecret } from "../../webhooks/secrets.ts";
import type { App, AppContext } from "../app.ts";
import { requireScope } from "../authenticate.ts";

export function accountRoutes(): Hono<App> {
  const routes = new Hono<App>();

  routes.get("/account", requireScope("account:read"), async (c) => {
    const account = await accountOf(c);
    return c.json({
      type: account.type,
      username: account.name,
      name: account.name,
      github_url: null,
      avatar_url: null,
    });
  });

  routes.get("/hardware", requireScope("models:read"), async (c) => c.json(await listHardware(c.env.DB)));

  routes.get("/webhooks/default/secret", requireScope("account:read"), async (c) => {
    return c.json({ key: await currentWebhookSecret(c.env, c.get("principal").accountId) });
  });

  /** Rotates it: the secret before signs on for a day, so that receivers can change over. */
  routes.post("/webhooks/default/secret", requireScope("account:write"), async (c) => {
    return c.json({ key: await rotateWebhookSecret(c.env, c.get("principal").accountId) }, 201);
  });

  return routes;
}

async function accountOf(c: AppContext): Promise<Account> {
  const account = await findAccount(c.env.DB, c.get("principal").accountId);
  if (account === null) throw new EdgeplaneError("not_found", "The account is gone.");
  return account;
}
