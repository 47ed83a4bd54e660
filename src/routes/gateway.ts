/** `/` and `/healthz`: that there is a gateway, and that it answers. */
import { Hono } from "hono";
import * as z from "zod";
import type { App } from "./app.ts";
import { json, operation } from "./operation.ts";

const GatewaySchema = z.object({
  name: z.literal("edgeplane"),
  docs: z.string(),
  openapi: z.string(),
  api: z.string(),
  health: z.string(),
});

const GATEWAY: z.output<typeof GatewaySchema> = {
  name: "edgeplane",
  docs: "/docs",
  openapi: "/openapi.json",
  api: "/v1",
  health: "/healthz",
};

export function gatewayRoutes(): Hono<App> {
  const routes = new Hono<App>();

  routes.get(
    "/",
    operation(
      {
        id: "getGateway",
        tag: "Gateway",
        summary: "Find the way",
        access: "anyone",
        answers: { 200: json(GatewaySchema, "Where things are.") },
      },
      (c) => c.json(GATEWAY),
    ),
  );

  routes.get(
    "/healthz",
    operation(
      {
        id: "getHealth",
        tag: "Gateway",
        summary: "Ask whether the gateway answers",
        access: "anyone",
        answers: { 200: json(z.object({ status: z.literal("ok") }), "It does.") },
      },
      (c) => c.json({ status: "ok" }),
    ),
  );

  return routes;
}
