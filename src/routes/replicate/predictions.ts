/** `/v1/predictions`: create, read, list, cancel, stream. https://replicate.com/docs/reference/http */
import { Hono } from "hono";
import { isPredictionId } from "../../contract/ids.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import type { PredictionView } from "../../contract/present.ts";
import { presentPrediction, streamResource } from "../../contract/present.ts";
import { verifyLink } from "../../contract/signed-links.ts";
import type { App, AppContext, ShardPort } from "../app.ts";
import { authenticate, requireScope } from "../authenticate.ts";
import { createPrediction } from "./create.ts";
import { decodeCursor } from "./cursor.ts";
import type { Cursor } from "./cursor.ts";
import { findOwn, noSuchPrediction, OWN_ID } from "./find-own.ts";
import { pageOf } from "./page.ts";
import type { Page } from "./page.ts";
import { openEventStream } from "./stream.ts";
import { showWhole } from "./view.ts";
import { deliveryRoutes } from "./webhooks.ts";

/** How long a `GET` of an unfinished prediction is held for a change, because clients poll. */
const HOLD_MS = 1000;
const MAX_PAGE_SIZE = 100;

export function predictionRoutes(shard: ShardPort): Hono<App> {
  const routes = new Hono<App>();

  routes.post("/", requireScope("predictions:write"), (c) => createPrediction(c, shard, {}));

  routes.put("/:id", requireScope("predictions:write"), (c) => {
    const ownId = c.req.param("id");
    if (OWN_ID.test(ownId)) return createPrediction(c, shard, { ownId });
    throw new EdgeplaneError("invalid_request", "An id takes 1 to 128 letters, digits, `.`, `_`, `~` and `-`.");
  });

  routes.get("/", requireScope("predictions:read"), async (c) => {
    return c.json(await listPage(c, shard));
  });

  routes.get("/:id", requireScope("predictions:read"), async (c) => {
    const holdMs = c.req.method === "HEAD" ? 0 : HOLD_MS;
    const { accountId } = c.get("principal");
    const prediction = await findOwn(c, (id) => shard.getPrediction(c.env, id, accountId, holdMs));
    return c.json(await showWhole(c.env, prediction));
  });

  routes.post("/:id/cancel", requireScope("predictions:write"), async (c) => {
    const { accountId } = c.get("principal");
    const prediction = await findOwn(c, (id) => shard.cancelPrediction(c.env, id, accountId));
    return c.json(await showWhole(c.env, prediction));
  });

  routes.route("/:id/webhooks", deliveryRoutes(shard));

  routes.get("/:id/stream", async (c) => {
    const id = c.req.param("id");
    if (!isPredictionId(id, Number(c.env.SHARD_COUNT))) throw noSuchPrediction();
    const link = { expires: c.req.query("expires"), signature: c.req.query("signature") };
    const signed =
      link.signature !== undefined &&
      (await verifyLink(c.env.EDGEPLANE_SECRET, "stream", streamResource(id), link, Date.now()));
    if (!signed) await authenticate(c, "predictions:read");
    return openEventStream(c, shard, id, "replicate", signed);
  });

  return routes;
}

/** The page that the query asks for: behind a `cursor`, within `created_after` and `created_before`. */
async function listPage(c: AppContext, shard: ShardPort): Promise<Page<PredictionView>> {
  const cursor = decodeCursor(c.req.query("cursor"));
  const direction = cursor?.direction === "previous" ? "newer" : "older";
  const { entries, predictions, more } = await shard.listPredictions(c.env, c.get("principal").accountId, {
    direction,
    from: cursor === null ? null : { id: cursor.id, createdAt: cursor.createdAt },
    limit: limitOf(c),
    createdAfter: timeOf(c, "created_after"),
    createdBefore: timeOf(c, "created_before"),
  });
  const results = await Promise.all(predictions.map((one) => presentPrediction(one, c.env.EDGEPLANE_SECRET)));
  const [first, last] = [entries[0], entries.at(-1)];
  const hasNext = last !== undefined && (direction === "newer" || more);
  const hasPrevious = first !== undefined && (direction === "newer" ? more : cursor !== null);
  const next: Cursor | null = hasNext ? { direction: "next", createdAt: last.createdAt, id: last.id } : null;
  const previous: Cursor | null = hasPrevious
    ? { direction: "previous", createdAt: first.createdAt, id: first.id }
    : null;
  return pageOf(c.req.url, results, next, previous);
}

/** How many entries a page shall have: 100, unless the query's `limit` says less. */
function limitOf(c: AppContext): number {
  const text = c.req.query("limit");
  if (text === undefined) return MAX_PAGE_SIZE;
  const limit = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= MAX_PAGE_SIZE) return limit;
  throw new EdgeplaneError("invalid_request", `\`limit\` takes a number from 1 to ${MAX_PAGE_SIZE}.`);
}

/** A time of the query, ISO 8601, in milliseconds since the epoch; null when it is absent. */
function timeOf(c: AppContext, name: string): number | null {
  const text = c.req.query(name);
  if (text === undefined) return null;
  const at = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(at)) return at;
  throw new EdgeplaneError("invalid_request", `\`${name}\` takes a time such as 2026-01-31T12:00:00Z.`);
}
