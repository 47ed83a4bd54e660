/** `/provider/v1`: what a provider service calls. */
import { Hono } from "hono";
import { EdgeplaneError } from "../../contract/errors.ts";
import { SyncReplySchema, SyncRequestSchema } from "../../contract/provider.ts";
import { callObject } from "../../object-calls.ts";
import { scalerObject } from "../../scaling/object/remote.ts";
import type { App } from "../app.ts";
import { decodeBody } from "../decode-body.ts";
import { json, operation } from "../operation.ts";

const MAX_SYNC_BYTES = 2 * 1024 * 1024;

export function providerRoutes(): Hono<App> {
  const routes = new Hono<App>();
  routes.use(decodeBody());

  routes.post(
    "/sync",
    operation(
      {
        id: "syncProvider",
        tag: "Providers",
        summary: "Say which machines there are, and be told which there should be",
        description:
          "Held open for up to 25 s while the reply would be the one that is `known`. Whole and idempotent: it may be repeated at any time.",
        access: "provider",
        body: {
          schema: SyncRequestSchema,
          maxBytes: MAX_SYNC_BYTES,
          examples: {
            first: { protocol: 1, provider: "local", kind: "local", offers: [], machines: [], complete: true },
          },
        },
        answers: { 200: json(SyncReplySchema, "All machines that this provider should have.") },
        errors: ["forbidden", "quota_exceeded"],
      },
      async (c, { body }) => {
        const { providers } = c.get("provider");
        if (providers !== null && !providers.includes(body.provider)) {
          const detail = `The token may speak for ${providers.join(", ")}, and not for ${body.provider}.`;
          throw new EdgeplaneError("forbidden", detail);
        }
        const reply = await callObject(() => scalerObject(c.env).sync(body, new URL(c.req.url).origin));
        if (reply === null) throw new EdgeplaneError("quota_exceeded", "There are 100 providers already.");
        return c.json(reply);
      },
    ),
  );

  return routes;
}
