/**
 * Lets browsers call the client's routes from any origin: they carry keys, never cookies.
 * https://fetch.spec.whatwg.org/#http-cors-protocol
 */
import type { MiddlewareHandler } from "hono";
import type { App } from "./app.ts";

const MAX_AGE_S = "86400";

/** `methods` may be called; `exposed` headers may be read. Answers preflights itself. */
export function cors(methods: readonly string[], exposed: readonly string[]): MiddlewareHandler<App> {
  const allowMethods = methods.join(",");
  const exposeHeaders = exposed.join(",");
  return async function corsMiddleware(c, next) {
    // Before the answer is made: on one that is there, each header costs a copy of it.
    c.header("access-control-allow-origin", "*");
    if (c.req.method !== "OPTIONS" || c.req.header("access-control-request-method") === undefined) {
      c.header("access-control-expose-headers", exposeHeaders);
      await next();
      if (c.res.headers.has("access-control-allow-origin")) return undefined;
      c.header("access-control-allow-origin", "*");
      c.header("access-control-expose-headers", exposeHeaders);
      return undefined;
    }
    c.header("access-control-allow-methods", allowMethods);
    c.header("access-control-max-age", MAX_AGE_S);
    c.header("access-control-allow-headers", c.req.header("access-control-request-headers") ?? "*");
    c.header("vary", "access-control-request-headers");
    return c.body(null, 204);
  };
}
