/** The Worker's routes, assembled. */
import { Hono } from "hono";
import { limitHeaderNames } from "../../plugins/rate-limit/headers.ts";
import { EdgeplaneError } from "../contract/errors.ts";
import { requestIdOf } from "../telemetry/trace.ts";
import { adminRoutes } from "./admin/admin.ts";
import type { App, AppContext, ShardPort } from "./app.ts";
import { compress } from "./compress.ts";
import { cors } from "./cors.ts";
import { decodeBody } from "./decode-body.ts";
import { docsRoutes } from "./docs/routes.ts";
import { gatewayRoutes } from "./gateway.ts";
import { kafkaRoutes } from "./kafka/index.ts";
import { openApiRoutes } from "./openapi/routes.ts";
import { outputRoutes } from "./outputs.ts";
import { installerRoutes } from "./pool/installer.ts";
import { poolRoutes } from "./pool/pool.ts";
import { problemResponse } from "./problem.ts";
import { providerRoutes } from "./provider/provider.ts";
import { absentRoutes } from "./replicate/absent.ts";
import { accountRoutes } from "./replicate/account.ts";
import { budgetRoutes } from "./replicate/budgets.ts";
import { deploymentRoutes } from "./replicate/deployments.ts";
import { fileRoutes } from "./replicate/files.ts";
import { modelRoutes } from "./replicate/models.ts";
import { predictionRoutes } from "./replicate/predictions.ts";
import { searchRoutes } from "./replicate/search.ts";
import { uploadRoutes } from "./replicate/uploads.ts";
import { usageRoutes } from "./usage.ts";

/** Below it lie the calls of clients. */
const API = "/v1";
const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "QUERY"];
const EXPOSED_HEADERS = [
  "x-request-id",
  "retry-after",
  "allow",
  "location",
  "idempotent-replayed",
  "edgeplane-cost",
  ...limitHeaderNames,
  "accept-ranges",
  "content-range",
  "content-disposition",
  "etag",
  "last-modified",
];

/** Returns the app whose `fetch` the Worker exports. */
export function createApp(shard: ShardPort): Hono<App> {
  const app = new Hono<App>();

  app.use(async function requestId(c, next) {
    const id = requestIdOf(c.req.header("x-request-id"));
    c.set("requestId", id);
    c.header("x-request-id", id);
    // Answers are one caller's, at one moment; files and pages say for themselves how long they may be kept.
    c.header("cache-control", "no-store");
    await next();
    c.get("settings")?.release();
    // A response that a route made by itself (a file, a stream) has got none of the context's headers.
    if (!c.res.headers.has("x-request-id")) c.header("x-request-id", id);
  });
  app.use("/v1/*", cors(METHODS, EXPOSED_HEADERS));
  app.use(compress());
  app.use("/v1/*", decodeBody());

  app.route("/", gatewayRoutes());
  app.route("/v1/predictions", predictionRoutes(shard));
  app.route("/v1/models", modelRoutes(shard));
  app.route("/v1/deployments", deploymentRoutes(shard));
  app.route("/v1/files", fileRoutes());
  app.route("/v1/uploads", uploadRoutes());
  app.route("/v1/outputs", outputRoutes());
  app.route("/v1", accountRoutes());
  app.route("/v1", budgetRoutes());
  app.route("/v1", usageRoutes());
  app.route("/v1", searchRoutes());
  app.route("/v1", absentRoutes());
  app.route("/pool/v1", poolRoutes(shard));
  app.route("/pool", installerRoutes());
  app.route("/provider/v1", providerRoutes());
  app.route("/admin/v1", adminRoutes());
  app.route("/kafka", kafkaRoutes());
  app.route("/", docsRoutes());
  app.route("/", openApiRoutes(app));

  app.notFound((c) => unmatched(app, c));
  app.onError((thrown, c) => problemResponse(c, thrown));
  return app;
}

/**
 * `OPTIONS` is told what the address takes; else 405 with `Allow` when it is there for other methods, and 404 when it
 * isn't.
 */
function unmatched(app: Hono<App>, c: AppContext): Response {
  const allowed = methodsAt(app, c.req.path);
  if (allowed.length === 0) {
    return problemResponse(c, new EdgeplaneError("not_found", `There is nothing at this address.${baseHint(app, c)}`));
  }
  if (allowed.includes("GET")) allowed.push("HEAD");
  const allow = [...allowed, "OPTIONS"].join(", ");
  if (c.req.method === "OPTIONS") return c.body(null, 204, { allow });
  const refusal = new EdgeplaneError("method_not_allowed", `This address takes ${allow}.`, { headers: { allow } });
  return problemResponse(c, refusal);
}

function methodsAt(app: Hono<App>, path: string): string[] {
  return METHODS.filter((method) => app.router.match(method, path)[0].some(([[, route]]) => route.method === method));
}

/** Replicate's clients differ in what a base URL is: the one of npm expects `/v1` at its end, that of PyPI adds it. */
function baseHint(app: Hono<App>, { req: { path } }: AppContext): string {
  if (path.startsWith(`${API}${API}/`) && methodsAt(app, path.slice(API.length)).length > 0)
    return ` It begins with \`${API}\` twice: this client adds it by itself, so leave it out of the base URL.`;
  if (methodsAt(app, API + path).length === 0) return "";
  return ` The API lies below \`${API}\`: let the client's base URL end with that.`;
}
