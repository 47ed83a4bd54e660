/** `/admin/v1/keys`: the credentials of accounts. */
import { Hono } from "hono";
import * as z from "zod";
import { EdgeplaneError } from "../../contract/errors.ts";
import { findAccount } from "../../registry/accounts.ts";
import type { Account } from "../../registry/accounts.ts";
import {
  changeApiKey,
  createApiKey,
  KeyChangeSchema,
  listApiKeys,
  NewKeySchema,
  revokeApiKey,
  rotateApiKey,
  RotationSchema,
} from "../../registry/api-keys.ts";
import type { App } from "../app.ts";
import { json, operation } from "../operation.ts";
import {
  CredentialPathSchema,
  CredentialQuerySchema,
  DEFAULT_LIMIT,
  listOf,
  listSchema,
  MAX_ADMIN_BYTES,
} from "./page.ts";
import { revokeRoute } from "./revoke.ts";
import { KeySchema, NewKeyViewSchema, showKey } from "./views.ts";

export function keyRoutes(): Hono<App> {
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
        errors: ["quota_exceeded"],
      },
      async (c, { body }) => {
        const account = await accountNamed(c.env.DB, body.account);
        refuseExpired(body.expires_at);
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
        query: CredentialQuerySchema.extend({ account: z.string().meta({ description: "The account's id or name." }) }),
        answers: { 200: json(listSchema(KeySchema), "A page, oldest first.") },
        errors: ["not_found"],
      },
      async (c, { query: { account: named, cursor, limit = DEFAULT_LIMIT, revoked } }) => {
        const account = await findAccount(c.env.DB, named);
        if (account === null) throw new EdgeplaneError("not_found", "There is no such account.");
        const page = { after: cursor, limit: limit + 1, revoked: revoked === "true" };
        return c.json(listOf(await listApiKeys(c.env.DB, account.id, page), limit, showKey));
      },
    ),
  );

  routes.patch(
    "/:id",
    operation(
      {
        id: "updateKey",
        tag: "Operator",
        summary: "Change what an API key may, and until when",
        description: "It is known everywhere within 10 seconds. What isn't named stays.",
        access: "operator",
        path: CredentialPathSchema,
        body: { schema: KeyChangeSchema, maxBytes: MAX_ADMIN_BYTES, examples: { high: { priority: "high" } } },
        answers: { 200: json(KeySchema, "The key as it is now.") },
      },
      async (c, { path, body }) => {
        const key = await changeApiKey(c.env.DB, path.id, body);
        if (key === null) throw new EdgeplaneError("not_found", "There is no such key.");
        return c.json(showKey(key));
      },
    ),
  );

  routes.post(
    "/:id/rotate",
    operation(
      {
        id: "rotateKey",
        tag: "Operator",
        summary: "Put another API key in a key's place",
        description: "The new one may the same, and limits count both as one. The old one works on for `overlap_s`.",
        access: "operator",
        path: CredentialPathSchema,
        body: { schema: RotationSchema, maxBytes: MAX_ADMIN_BYTES, examples: { hour: { overlap_s: 3600 } } },
        answers: { 201: json(NewKeyViewSchema, "The new key, with its secret.") },
        errors: ["quota_exceeded"],
      },
      async (c, { path, body }) => {
        const rotated = await rotateApiKey(c.env, path.id, body.overlap_s * 1000);
        if (rotated === null) throw new EdgeplaneError("not_found", "There is no such key that is valid.");
        return c.json({ ...showKey(rotated.key), key: rotated.secret }, 201);
      },
    ),
  );

  routes.delete(
    "/:id",
    revokeRoute({ id: "revokeKey", summary: "Revoke an API key", name: "key", revoke: revokeApiKey }),
  );

  return routes;
}

async function accountNamed(db: D1Database, idOrName: string): Promise<Account> {
  const account = await findAccount(db, idOrName);
  if (account !== null) return account;
  throw wrongField("account", "there is no such account");
}

/** A key that nobody could ever use is a mistake of who makes it. A change may end one at once. */
function refuseExpired(expiresAt: number | null): void {
  if (expiresAt === null || expiresAt > Date.now()) return;
  throw wrongField("expires_at", "is over already: name a time in the future, or leave it out for a key without end");
}

function wrongField(field: string, description: string): EdgeplaneError {
  return new EdgeplaneError("invalid_input", `- ${field}: ${description}\n`, {
    invalidFields: [{ field, description }],
  });
}
