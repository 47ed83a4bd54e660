/** `/pool/v1`: what GPU hosts call. They hold one token, and see nothing of tenants. */
import { Hono } from "hono";
import { ClaimRequestSchema, SESSION_HEADER } from "../../contract/claim.ts";
import { EventsRequestSchema } from "../../contract/event.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import { findVersion } from "../../registry/models.ts";
import type { App, ShardPort } from "../app.ts";
import { parseWith, readJson } from "../body.ts";
import { requirePool } from "./authenticate.ts";
import { blobRoutes } from "./blobs.ts";
import { receiveEvents } from "./receive-events.ts";

/** What a call between objects may carry; a pool sends several requests if it has more. */
const MAX_EVENTS_BYTES = 30 * 1024 * 1024;
const MAX_CLAIMS_BYTES = 1024 * 1024;
const SESSION = /^[A-Za-z0-9_-]{8,64}$/;

/** Tells a pool's session who its pool is; set by the edge alone. */
export const POOL_IDENTITY_HEADER = "edgeplane-pool-identity";

export function poolRoutes(shard: ShardPort): Hono<App> {
  const routes = new Hono<App>();
  routes.use(async function poolOnly(c, next) {
    await requirePool(c);
    await next();
  });

  routes.get("/connect", async (c) => {
    if (c.req.header("upgrade")?.toLowerCase() !== "websocket") {
      throw new EdgeplaneError("invalid_request", "`/pool/v1/connect` is a WebSocket: send `Upgrade: websocket`.");
    }
    const session = c.req.header(SESSION_HEADER) ?? c.req.query("session") ?? "";
    if (!SESSION.test(session)) {
      const form = "8 to 64 letters, digits, `_` and `-`";
      throw new EdgeplaneError("invalid_request", `Name the session in \`${SESSION_HEADER}\`: ${form}.`);
    }
    const headers = new Headers(c.req.raw.headers);
    headers.set(SESSION_HEADER, session);
    headers.set(POOL_IDENTITY_HEADER, JSON.stringify(c.get("pool")));
    headers.delete("authorization");
    return c.env.POOL.getByName(session).fetch(new Request(c.req.raw, { headers }));
  });

  routes.post("/claims", async (c) => {
    const request = parseWith(ClaimRequestSchema, await readJson(c.req.raw, MAX_CLAIMS_BYTES));
    const claims = await shard.claimJobs(c.env, request, { lanes: c.get("pool").lanes });
    return c.json({ claims });
  });

  routes.post("/events", async (c) => {
    if (c.env.DELIVERY === "kv") {
      const detail =
        "This edge takes events through its Redis only (`DELIVERY=kv`): start the pool with `--delivery kv`.";
      throw new EdgeplaneError("forbidden", detail);
    }
    const request = parseWith(EventsRequestSchema, await readJson(c.req.raw, MAX_EVENTS_BYTES));
    return c.json(await receiveEvents(c.env, shard, request, c.get("pool")));
  });

  routes.get("/models/:owner/:name/versions/:version", async (c) => {
    const { owner, name, version } = c.req.param();
    const found = await findVersion(c.env.DB, null, { owner, name }, version);
    if (found === null || !c.get("pool").lanes.includes(found.manifest.lane)) {
      throw new EdgeplaneError("not_found", "There is no such version on this token's lanes.");
    }
    return c.json(found.manifest);
  });

  routes.route("/blobs", blobRoutes(shard));
  return routes;
}
