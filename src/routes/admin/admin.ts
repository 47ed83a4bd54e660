/** `/admin/v1`: the operator's calls. They answer 404 until `ADMIN_KEY` is set. Secrets are shown once, when made. */
import { Hono } from "hono";
import type { App } from "../app.ts";
import { decodeBody } from "../decode-body.ts";
import { accountRoutes } from "./accounts.ts";
import { budgetRoutes } from "./budgets.ts";
import { deadLetterRoutes } from "./dead-letters.ts";
import { storedEnvironmentRoutes } from "./environments.ts";
import { faultRoutes } from "./faults.ts";
import { keyRoutes } from "./keys.ts";
import { logRoutes } from "./log.ts";
import { metricsRoutes } from "./metrics.ts";
import { pluginRoutes } from "./plugins.ts";
import { poolTokenRoutes } from "./pool-tokens.ts";
import { poolListRoutes } from "./pools.ts";
import { providerTokenRoutes } from "./provider-tokens.ts";
import { requireOperator } from "./require-operator.ts";
import { scalingMetricRoutes, scalingRoutes } from "./scaling.ts";
import { settingsRoutes } from "./settings.ts";
import { adminUsageRoutes } from "./usage.ts";

export function adminRoutes(): Hono<App> {
  const routes = new Hono<App>();
  routes.route("/scaling/metrics", scalingMetricRoutes());
  // What is no route here asks for the key too, so that nothing shows of what there is.
  routes.use(async function operatorOnly(c, next) {
    await requireOperator(c);
    await next();
  });
  routes.use(decodeBody());
  routes.route("/accounts", accountRoutes());
  routes.route("/budgets", budgetRoutes());
  routes.route("/keys", keyRoutes());
  routes.route("/plugins", pluginRoutes());
  routes.route("/usage", adminUsageRoutes());
  routes.route("/pool-tokens", poolTokenRoutes());
  routes.route("/pools", poolListRoutes());
  routes.route("/dead-letters", deadLetterRoutes());
  routes.route("/environments", storedEnvironmentRoutes());
  routes.route("/faults", faultRoutes());
  routes.route("/log", logRoutes());
  routes.route("/metrics", metricsRoutes());
  routes.route("/provider-tokens", providerTokenRoutes());
  routes.route("/scaling", scalingRoutes());
  routes.route("/settings", settingsRoutes());
  return routes;
}
