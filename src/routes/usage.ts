/** `/v1/usage`: what the caller's account used, and what it cost. */
import { Hono } from "hono";
import * as z from "zod";
import { focusTable } from "../metering/focus.ts";
import { dimensionNames } from "../metering/sums.ts";
import type { UsageRequest } from "../metering/usage-query.ts";
import type { App, AppContext } from "./app.ts";
import { json, operation } from "./operation.ts";
import { MAX_LIMIT, readUsage, showUsage, UsagePageSchema, UsageQuerySchema, usageRequestOf } from "./usage-view.ts";
import type { UsageQuery } from "./usage-view.ts";

const CSV = "text/csv";

export const usageAnswers = {
  200: {
    ...json(UsagePageSchema, "Sums, the oldest first; with `Accept: text/csv` all of them, as a table of FOCUS 1.2."),
    content: {
      ...json(UsagePageSchema, "").content,
      [CSV]: { schema: z.string().meta({ description: "The columns of FOCUS 1.2; `x_` are Edgeplane's own." }) },
    },
  },
};

export function usageRoutes(): Hono<App> {
  const routes = new Hono<App>();
  routes.get(
    "/usage",
    operation(
      {
        id: "getUsage",
        tag: "Account",
        summary: "Read what the account used",
        description:
          "Sums of the account's usage by hour, day or month, told apart by what `group` names. They are complete up to some seconds ago.",
        access: "account:read",
        query: UsageQuerySchema,
        answers: usageAnswers,
      },
      (c, { query }) => answerUsage(c, c.get("principal").accountId, query),
    ),
  );
  return routes;
}

/** The account's usage as its reader wants it. */
export async function answerUsage(c: AppContext, account: string, query: UsageQuery): Promise<Response> {
  const now = Date.now();
  const request = usageRequestOf(query, now);
  const accept = c.req.header("accept") ?? "";
  c.header("vary", "accept", { append: true });
  if (accept.split(",").some((type) => type.trim().toLowerCase().startsWith(CSV))) return table(c, account, request);
  return c.json(showUsage(await readUsage(c.env, account, request), request.by, now));
}

function table(c: AppContext, account: string, request: UsageRequest): Response {
  const body = focusTable(account, request.by, (after) =>
    readUsage(c.env, account, { ...request, group: dimensionNames, limit: MAX_LIMIT, after }),
  );
  return c.body(body, 200, {
    "content-type": `${CSV}; charset=utf-8; header=present`,
    "content-disposition": 'attachment; filename="usage.csv"',
  });
}
