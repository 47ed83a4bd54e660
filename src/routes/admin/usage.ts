/** `/admin/v1/usage`: the usage of any account, and of what is charged to nobody. */
import { Hono } from "hono";
import * as z from "zod";
import { EdgeplaneError } from "../../contract/errors.ts";
import { OVERHEAD_ACCOUNT } from "../../metering/record.ts";
import { findAccount } from "../../registry/accounts.ts";
import type { App } from "../app.ts";
import { operation } from "../operation.ts";
import { answerUsage, usageAnswers } from "../usage.ts";
import { UsageQuerySchema } from "../usage-view.ts";
import { addMargin } from "./margin.ts";

export function adminUsageRoutes(): Hono<App> {
  const routes = new Hono<App>();
  routes.get(
    "/",
    operation(
      {
        id: "getAccountUsage",
        tag: "Operator",
        summary: "Read what an account used",
        description:
          "As `GET /v1/usage` tells it to the account. `overhead` has the time of devices that was charged to nobody.",
        access: "operator",
        query: UsageQuerySchema.extend({
          account: z.string().meta({ description: "The account's id or name, or `overhead`.", examples: ["overhead"] }),
        }),
        answers: usageAnswers,
        errors: ["not_found"],
      },
      async (c, { query: { account, ...query } }) => {
        const id = account === OVERHEAD_ACCOUNT ? account : (await findAccount(c.env.DB, account))?.id;
        if (id === undefined) throw new EdgeplaneError("not_found", "There is no such account.");
        return answerUsage(c, id, query);
      },
    ),
  );
  addMargin(routes);
  return routes;
}
