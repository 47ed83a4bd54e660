/** `/admin/v1`: the operator's calls. They answer 404 until `ADMIN_KEY` is set. Secrets are shown once, when made. */
import { Hono } from "hono";
import type { MiddlewareHandler } from "hono";
import { EdgeplaneError } from "../../contract/errors.ts";
import { createAccount, findAccount, listAccounts, NewAccountSchema } from "../../registry/accounts.ts";
import type { Account } from "../../registry/accounts.ts";
import { createApiKey, listApiKeys, NewKeySchema, revokeApiKey } from "../../registry/api-keys.ts";
import type { ApiKey } from "../../registry/api-keys.ts";
import { createPoolToken, listPoolTokens, NewPoolTokenSchema, revokePoolToken } from "../../registry/pool-tokens.ts";
import type { PoolToken } from "../../registry/pool-tokens.ts";
import type { App } from "../app.ts";
import { parseWith, readJson } from "../body.ts";
import { faultRoutes } from "./faults.ts";

const MAX_ADMIN_BYTES = 64 * 1024;

export function adminRoutes(): Hono<App> {
  const routes = new Hono<App>();
  routes.use(requireAdmin());

  routes.post("/accounts", async (c) => {
    const wanted = parseWith(NewAccountSchema, await readJson(c.req.raw, MAX_ADMIN_BYTES));
    return c.json(showAccount(await createAccount(c.env.DB, wanted)), 201);
  });
  routes.get("/accounts", async (c) => c.json({ results: (await listAccounts(c.env.DB)).map(showAccount) }));

  routes.post("/keys", async (c) => {
    const wanted = parseWith(NewKeySchema, await readJson(c.req.raw, MAX_ADMIN_BYTES));
    const account = await accountNamed(c.env.DB, wanted.account);
    const { key, secret } = await createApiKey(c.env.DB, account.id, wanted.name, wanted.scopes);
    return c.json({ ...showKey(key), key: secret }, 201);
  });
  routes.get("/keys", async (c) => {
    const account = await accountNamed(c.env.DB, c.req.query("account") ?? "");
    return c.json({ results: (await listApiKeys(c.env.DB, account.id)).map(showKey) });
  });
  routes.delete("/keys/:id", async (c) => {
    if (await revokeApiKey(c.env.DB, c.req.param("id"))) return c.body(null, 204);
    throw new EdgeplaneError("not_found", "There is no such key.");
  });

  routes.post("/pool-tokens", async (c) => {
    const wanted = parseWith(NewPoolTokenSchema, await readJson(c.req.raw, MAX_ADMIN_BYTES));
    const { token, secret } = await createPoolToken(c.env.DB, wanted);
    return c.json({ ...showToken(token), token: secret }, 201);
  });
  routes.get("/pool-tokens", async (c) => c.json({ results: (await listPoolTokens(c.env.DB)).map(showToken) }));
  routes.delete("/pool-tokens/:id", async (c) => {
    if (await revokePoolToken(c.env.DB, c.req.param("id"))) return c.body(null, 204);
    throw new EdgeplaneError("not_found", "There is no such pool token.");
  });

  routes.route("/faults", faultRoutes());

  return routes;
}

function requireAdmin(): MiddlewareHandler<App> {
  return async function requireAdminMiddleware(c, next) {
    const expected = c.env.ADMIN_KEY ?? "";
    if (expected === "") throw new EdgeplaneError("not_found", "There is nothing at this address.");
    const given = /^bearer +(\S+)$/i.exec(c.req.header("authorization") ?? "")?.[1] ?? "";
    if (!(await sameSecret(given, expected))) {
      throw new EdgeplaneError("unauthenticated", "These calls take the operator's key.");
    }
    await next();
  };
}

/** Compares digests, so that neither length nor content shows in the time it takes. */
async function sameSecret(given: string, expected: string): Promise<boolean> {
  const encoder = new TextEncoder();
  const [a, b] = await Promise.all(
    [given, expected].map((text) => crypto.subtle.digest("SHA-256", encoder.encode(text))),
  );
  return a !== undefined && b !== undefined && crypto.subtle.timingSafeEqual(a, b);
}

async function accountNamed(db: D1Database, idOrName: string): Promise<Account> {
  const account = await findAccount(db, idOrName);
  if (account !== null) return account;
  throw new EdgeplaneError("invalid_input", "- account: there is no such account\n", {
    invalidFields: [{ field: "account", description: "there is no such account" }],
  });
}

function showAccount(account: Account) {
  return { id: account.id, name: account.name, type: account.type, created_at: isoTime(account.createdAt) };
}

function showKey(key: ApiKey) {
  return { ...showCredential(key), account_id: key.accountId, scopes: key.scopes };
}

function showToken(token: PoolToken) {
  return { ...showCredential(token), lanes: token.lanes, may_register_models: token.mayRegisterModels };
}

function showCredential(credential: {
  id: string;
  name: string;
  hint: string;
  createdAt: number;
  revokedAt: number | null;
}) {
  const { id, name, hint, createdAt, revokedAt } = credential;
  const revoked = revokedAt === null ? null : isoTime(revokedAt);
  return { id, name, hint, created_at: isoTime(createdAt), revoked_at: revoked };
}

function isoTime(at: number): string {
  return new Date(at).toISOString();
}
