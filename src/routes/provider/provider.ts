/** `/provider/v1`: what a provider service calls. */
import { Hono } from "hono";
import * as z from "zod";
import { EdgeplaneError } from "../../contract/errors.ts";
import { ProviderNameSchema, SyncReplySchema, SyncRequestSchema } from "../../contract/provider.ts";
import { callObject } from "../../object-calls.ts";
import { PROVIDER_HEADER, scalerObject } from "../../scaling/object/remote.ts";
import type { App, AppContext } from "../app.ts";
import { decodeBody } from "../decode-body.ts";
import { empty, json, operation } from "../operation.ts";

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
        errors: ["forbidden", "conflict", "quota_exceeded"],
      },
      async (c, { body }) => {
        mustSpeakFor(c, body.provider);
        const reply = await callObject(() => scalerObject(c.env).sync(body, new URL(c.req.url).origin));
        if (reply === null) throw new EdgeplaneError("quota_exceeded", "There are 100 providers already.");
        if (typeof reply === "string") throw new EdgeplaneError("conflict", reply);
        return c.json(reply);
      },
    ),
  );

  routes.get(
    "/listen",
    operation(
      {
        id: "listenAsProvider",
        tag: "Providers",
        summary: "Hear that there is something new to sync",
        description: "A WebSocket. It says `changed`, and answers `ping` with `pong`; the rest is said by a sync.",
        access: "provider",
        query: z.object({ provider: ProviderNameSchema }),
        answers: { 101: empty("The channel is open.") },
        errors: ["invalid_request", "forbidden", "quota_exceeded"],
      },
      async (c, { query: { provider } }) => {
        mustSpeakFor(c, provider);
        if (c.req.header("upgrade")?.toLowerCase() !== "websocket") {
          throw new EdgeplaneError(
            "invalid_request",
            "`/provider/v1/listen` is a WebSocket: send `Upgrade: websocket`.",
          );
        }
        const headers = { upgrade: "websocket", [PROVIDER_HEADER]: provider };
        const opened = await scalerObject(c.env).fetch(new Request(c.req.url, { headers }));
        if (opened.status === 429) throw new EdgeplaneError("quota_exceeded", "200 services listen already.");
        return opened;
      },
    ),
  );

  return routes;
}

function mustSpeakFor(c: AppContext, provider: string): void {
  const { providers } = c.get("provider");
  if (providers === null || providers.includes(provider)) return;
  const detail = `The token may speak for ${providers.join(", ")}, and not for ${provider}.`;
  throw new EdgeplaneError("forbidden", detail);
}
