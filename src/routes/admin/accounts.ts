/** `/admin/v1/accounts`: the tenants. */
import { Hono } from "hono";
import * as z from "zod";
import { EdgeplaneError } from "../../contract/errors.ts";
import {
  AccountChangeSchema,
  createAccount,
  listAccounts,
  NewAccountSchema,
  updateAccount,
} from "../../registry/accounts.ts";
import type { App } from "../app.ts";
import { json, operation } from "../operation.ts";
import { addBalanceRoutes } from "./balance.ts";
import { DEFAULT_LIMIT, listOf, listSchema, MAX_ADMIN_BYTES, PageQuerySchema } from "./page.ts";
import { OperatorAccountSchema, showAccount } from "./views.ts";

export function accountRoutes(): Hono<App> {
  const routes = new Hono<App>();
  addBalanceRoutes(routes);

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
        query: PageQuerySchema,
        answers: { 200: json(listSchema(OperatorAccountSchema), "A page, oldest first.") },
      },
      async (c, { query: { cursor, limit = DEFAULT_LIMIT } }) => {
        const found = await listAccounts(c.env.DB, { after: cursor, limit: limit + 1 });
        return c.json(listOf(found, limit, showAccount));
      },
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
