/** `/admin/v1`: the operator's calls. They answer 404 until `ADMIN_KEY` is set. Secrets are shown once, when made. */
import { Hono } from "hono";
import * as z from "zod";
import { EdgeplaneError } from "../../contract/errors.ts";
import {
  AccountChangeSchema,
  createAccount,
  findAccount,
  listAccounts,
  NewAccountSchema,
  updateAccount,
} from "../../registry/accounts.ts";
import type { Account } from "../../registry/accounts.ts";
import {
  changeApiKey,
  createApiKey,
  KeyChangeSchema,
  listApiKeys,
  NewKeySchema,
  revokeApiKey,
} from "../../registry/api-keys.ts";
import { createPoolToken, listPoolTokens, NewPoolTokenSchema, revokePoolToken } from "../../registry/pool-tokens.ts";
import type { App } from "../app.ts";
import { empty, json, operation } from "../operation.ts";
import { deadLetterRoutes } from "./dead-letters.ts";
import { faultRoutes } from "./faults.ts";
import { logRoutes } from "./log.ts";
import { metricsRoutes } from "./metrics.ts";
import { requireOperator } from "./require-operator.ts";
import {
  KeySchema,
  NewKeyViewSchema,
  NewPoolTokenViewSchema,
  OperatorAccountSchema,
  PoolTokenSchema,
  showAccount,
  showKey,
  showToken,
} from "./views.ts";

const MAX_ADMIN_BYTES = 64 * 1024;

const CredentialPathSchema = z.object({ id: z.string().meta({ description: "The `id` of the key or the token." }) });

export function adminRoutes(): Hono<App> {
  const routes = new Hono<App>();
  // What is no route here asks for the key too, so that nothing shows of what there is.
  routes.use(async function operatorOnly(c, next) {
    await requireOperator(c);
    await next();
  });
  routes.route("/accounts", accountRoutes());
  routes.route("/keys", keyRoutes());
  routes.route("/pool-tokens", poolTokenRoutes());
  routes.route("/dead-letters", deadLetterRoutes());
  routes.route("/faults", faultRoutes());
  routes.route("/log", logRoutes());
  routes.route("/metrics", metricsRoutes());
  return routes;
}

function accountRoutes(): Hono<App> {
  const routes = new Hono<App>();

  routes.post(
    "/",
    operation(
      {
        id: "createAccount",
        tag: "Operator",
        summary: "Make an account",
        access: "operator",
        body: { schema: NewAccountSchema, maxBytes: MAX_ADMIN_BYTES, examples: { organization: { name: "acme" } } },
        answers: { 201: json(OperatorAccountSchema, "The account.") },
        errors: ["already_exists"],
      },
      async (c, { body }) => c.json(showAccount(await createAccount(c.env.DB, body)), 201),
    ),
  );

  routes.get(
    "/",
    operation(
      {
        id: "listAccounts",
        tag: "Operator",
        summary: "List the accounts",
        access: "operator",
        answers: { 200: json(listOf(OperatorAccountSchema), "The first 1,000, oldest first.") },
      },
      async (c) => c.json({ results: (await listAccounts(c.env.DB)).map(showAccount) }),
    ),
  );

  routes.patch(
    "/:account",
    operation(
      {
        id: "updateAccount",
        tag: "Operator",
        summary: "Set how long an account's data is kept, and its share of the GPUs",
        description:
          "Fields that are left out stay. It holds for predictions and files that come from then on; it takes up to 10 seconds to be known everywhere.",
        access: "operator",
        path: z.object({ account: z.string().meta({ description: "The account's id or name." }) }),
        body: {
          schema: AccountChangeSchema,
          maxBytes: MAX_ADMIN_BYTES,
          examples: { hour: { retention_s: 3600 }, twice: { weight: 2 } },
        },
        answers: { 200: json(OperatorAccountSchema, "The account as it is now.") },
      },
      async (c, { path, body }) => {
        const account = await updateAccount(c.env.DB, path.account, body);
        if (account === null) throw new EdgeplaneError("not_found", "There is no such account.");
        return c.json(showAccount(account));
      },
    ),
  );

  return routes;
}

function keyRoutes(): Hono<App> {
  const routes = new Hono<App>();

  routes.post(
    "/",
    operation(
      {
        id: "createKey",
        tag: "Operator",
        summary: "Make an API key",
        access: "operator",
        body: { schema: NewKeySchema, maxBytes: MAX_ADMIN_BYTES, examples: { all: { account: "acme", name: "ci" } } },
        answers: { 201: json(NewKeyViewSchema, "The key, with its secret.") },
      },
      async (c, { body }) => {
        const account = await accountNamed(c.env.DB, body.account);
        const { key, secret } = await createApiKey(c.env, account.id, body);
        return c.json({ ...showKey(key), key: secret }, 201);
      },
    ),
  );

  routes.get(
    "/",
    operation(
      {
        id: "listKeys",
        tag: "Operator",
        summary: "List an account's API keys",
        access: "operator",
        query: z.object({ account: z.string().meta({ description: "The account's id or name." }) }),
        answers: { 200: json(listOf(KeySchema), "The keys, revoked ones too.") },
        errors: ["not_found"],
      },
      async (c, { query }) => {
        const account = await findAccount(c.env.DB, query.account);
        if (account === null) throw new EdgeplaneError("not_found", "There is no such account.");
        return c.json({ results: (await listApiKeys(c.env.DB, account.id)).map(showKey) });
      },
    ),
  );

  routes.patch(
    "/:id",
    operation(
      {
        id: "updateKey",
        tag: "Operator",
        summary: "Set the highest priority that an API key may ask for",
        description: "It is known everywhere within 10 seconds.",
        access: "operator",
        path: CredentialPathSchema,
        body: { schema: KeyChangeSchema, maxBytes: MAX_ADMIN_BYTES, examples: { high: { priority: "high" } } },
        answers: { 200: json(KeySchema, "The key as it is now.") },
      },
      async (c, { path, body }) => {
        const key = await changeApiKey(c.env.DB, path.id, body.priority);
        if (key === null) throw new EdgeplaneError("not_found", "There is no such key.");
        return c.json(showKey(key));
      },
    ),
  );

  routes.delete(
    "/:id",
    operation(
      {
        id: "revokeKey",
        tag: "Operator",
        summary: "Revoke an API key",
        description: "It stops working within 10 seconds.",
        access: "operator",
        path: CredentialPathSchema,
        answers: { 204: empty("It is revoked.") },
      },
      async (c, { path }) => {
        if (await revokeApiKey(c.env.DB, path.id)) return c.body(null, 204);
        throw new EdgeplaneError("not_found", "There is no such key.");
      },
    ),
  );

  return routes;
}

function poolTokenRoutes(): Hono<App> {
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
        answers: { 200: json(listOf(PoolTokenSchema), "The tokens, revoked ones too.") },
      },
      async (c) => c.json({ results: (await listPoolTokens(c.env.DB)).map(showToken) }),
    ),
  );

  routes.delete(
    "/:id",
    operation(
      {
        id: "revokePoolToken",
        tag: "Operator",
        summary: "Revoke a pool token",
        description: "It stops working within 10 seconds.",
        access: "operator",
        path: CredentialPathSchema,
        answers: { 204: empty("It is revoked.") },
      },
      async (c, { path }) => {
        if (await revokePoolToken(c.env.DB, path.id)) return c.body(null, 204);
        throw new EdgeplaneError("not_found", "There is no such pool token.");
      },
    ),
  );

  return routes;
}

function listOf<T extends z.ZodType>(schema: T): z.ZodObject<{ results: z.ZodArray<T> }> {
  return z.object({ results: z.array(schema) });
}

async function accountNamed(db: D1Database, idOrName: string): Promise<Account> {
  const account = await findAccount(db, idOrName);
  if (account !== null) return account;
  throw new EdgeplaneError("invalid_input", "- account: there is no such account\n", {
    invalidFields: [{ field: "account", description: "there is no such account" }],
  });
}
