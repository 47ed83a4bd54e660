/** `/v1/budgets`: what the caller may spend, and has spent. */
import { Hono } from "hono";
import * as z from "zod";
import { BudgetViewSchema, showBudgets } from "../../metering/budgets.ts";
import { listBudgets } from "../../registry/budgets.ts";
import type { App } from "../app.ts";
import { json, operation } from "../operation.ts";

/** What the operator is told is nothing for the account's keys. */
const OwnBudgetSchema = BudgetViewSchema.omit({ webhook: true, alert_below_nano: true }).meta({ id: "OwnBudget" });

export function budgetRoutes(): Hono<App> {
  const routes = new Hono<App>();

  routes.get(
    "/budgets",
    operation(
      {
        id: "listOwnBudgets",
        tag: "Account",
        summary: "List the budgets of the caller's account and key, and what is left of them",
        access: "account:read",
        answers: { 200: json(z.object({ results: z.array(OwnBudgetSchema) }), "All of them.") },
      },
      async (c) => {
        const { accountId, credentialId } = c.get("principal");
        const budgets = await listBudgets(c.env.DB, { account: accountId });
        const own = budgets.filter(({ scope, key }) => scope === "account" || key === `key:${credentialId}`);
        const views = await showBudgets(c.env, own);
        return c.json({ results: views.map(({ webhook: _told, alert_below_nano: _below, ...one }) => one) });
      },
    ),
  );

  return routes;
}
