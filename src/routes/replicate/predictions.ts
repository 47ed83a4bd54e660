/** `/v1/predictions`: create, read, list, cancel, stream. https://replicate.com/docs/reference/http */
import { Hono } from "hono";
import * as z from "zod";
import { EdgeplaneError } from "../../contract/errors.ts";
import { isPredictionId } from "../../contract/ids.ts";
import { numericVar } from "../../contract/numeric-vars.ts";
import { isTerminal, StatusSchema } from "../../contract/prediction.ts";
import type { ListedPrediction } from "../../contract/present.ts";
import {
  ListedPredictionSchema,
  presentPrediction,
  PredictionViewSchema,
  streamResource,
} from "../../contract/present.ts";
import { verifyLink } from "../../contract/signed-links.ts";
import type { ListPage } from "../../shard/client.ts";
import { answerJson } from "../answer-json.ts";
import type { App, AppContext, ShardPort } from "../app.ts";
import { authenticate } from "../authenticate.ts";
import { empty, json, operation } from "../operation.ts";
import { cursorOf, LinkQuerySchema, TimeSchema, wholeNumber } from "../parameters.ts";
import { createOperation, StreamEventSchema, predictionLinks } from "./create-operation.ts";
import { createPrediction } from "./create.ts";
import type { Cursor } from "./cursor.ts";
import { findOwn, idOfOwn, OWN_ID } from "./find-own.ts";
import { inKnownStatus } from "./known-statuses.ts";
import { pageOf, pageSchema } from "./page.ts";
import type { Page } from "./page.ts";
import { LastEventIdSchema, openEventStream } from "./stream.ts";
import { answerWhole, showWhole } from "./view.ts";
import { deliveryRoutes } from "./webhooks.ts";

/**
 * How long a `GET` of an unfinished prediction is held for a change, because clients poll. Under load it is twice that.
 */
const HOLD_MS = 1000;
const MAX_PAGE_SIZE = 100;
/** What an id begins with sorts before it, and behind every lesser id of its millisecond that a page can have shown. */
const PREFIX_CHARS = 25;

export const PredictionPathSchema = z.object({
  id: z.string().meta({ description: "The prediction's id, or the one that it was given with `PUT`." }),
});

const OwnIdPathSchema = z.object({
  id: z
    .string()
    .regex(OWN_ID, "takes 1 to 128 letters, digits, `.`, `_`, `~` and `-`")
    .meta({ description: "An id of your own: the same id with the same payload is the same prediction." }),
});

const ReferenceSchema = z.string().regex(/^[^/]{1,63}\/[^/]{1,63}$/, "must be `owner/name`");

/** An id, or the place just before or just behind one. */
const PLACE = /^[0-9a-hjkmnp-tv-z]{25,26}~?$/;

const ListQuerySchema = z.object({
  cursor: cursorOf(PLACE),
  limit: wholeNumber(1, MAX_PAGE_SIZE).optional().meta({ description: "How many at most; 100." }),
  created_after: TimeSchema.optional(),
  created_before: TimeSchema.optional(),
  status: StatusSchema.optional(),
  source: z.enum(["api", "web"]).optional(),
  model: ReferenceSchema.optional().meta({ description: "`owner/name`." }),
  version: z.string().max(64).optional(),
  deployment: ReferenceSchema.optional().meta({ description: "`owner/name`." }),
});

export function predictionRoutes(shard: ShardPort): Hono<App> {
  const routes = new Hono<App>();

  routes.post(
    "/",
    operation({ ...createOperation, id: "createPrediction", summary: "Run a model" }, (c, { body, header }) =>
      createPrediction(c, shard, { body, header }),
    ),
  );

  routes.put(
    "/:id",
    operation(
      {
        ...createOperation,
        id: "putPrediction",
        summary: "Run a model, under an id of your own",
        path: OwnIdPathSchema,
      },
      (c, { path, body, header }) => createPrediction(c, shard, { body, header, ownId: path.id }),
    ),
  );

  routes.get(
    "/",
    operation(
      {
        id: "listPredictions",
        isLong: true,
        tag: "Predictions",
        summary: "List the account's predictions, newest first",
        description:
          "It has no logs, and inputs above 16 KiB and outputs above 64 KiB are null: `GET /v1/predictions/{id}` has them. Narrowed by status, a page may be short, or empty, and have a `next`.",
        access: "predictions:read",
        query: ListQuerySchema,
        answers: { 200: json(pageSchema(ListedPredictionSchema), "A page.") },
      },
      async (c, { query }) => answerJson(c, await listPage(c, shard, query)),
    ),
  );

  routes.get(
    "/:id",
    operation(
      {
        id: "getPrediction",
        isLong: true,
        tag: "Predictions",
        summary: "Read a prediction",
        description:
          "While it is unfinished, the answer is held for up to a second, or two when many wait, and comes at once when something changes.",
        access: "predictions:read",
        path: PredictionPathSchema,
        answers: { 200: json(PredictionViewSchema, "The prediction.", { links: predictionLinks }) },
      },
      async (c) => {
        const holdMs = c.req.method === "HEAD" ? 0 : HOLD_MS;
        const { accountId } = c.get("principal");
        const prediction = await findOwn(c, (id) => shard.getPrediction(c.env, id, accountId, holdMs));
        const whole = await showWhole(c.env, inKnownStatus(c, prediction));
        const mayRead = c.get("principal").scopes.includes("verdicts:read");
        if (mayRead && prediction.verdicts !== undefined) whole.view.verdicts = prediction.verdicts;
        return answerWhole(c, whole);
      },
    ),
  );

  routes.post(
    "/:id/cancel",
    operation(
      {
        id: "cancelPrediction",
        tag: "Predictions",
        summary: "Cancel a prediction",
        description: "One that has ended stays as it is.",
        access: "predictions:write",
        path: PredictionPathSchema,
        answers: { 200: json(PredictionViewSchema, "The prediction.", { links: predictionLinks }) },
      },
      async (c) => {
        const { accountId } = c.get("principal");
        const prediction = await findOwn(c, (id) => shard.cancelPrediction(c.env, id, accountId));
        return answerWhole(c, await showWhole(c.env, inKnownStatus(c, prediction)));
      },
    ),
  );

  routes.delete(
    "/:id",
    operation(
      {
        id: "deletePredictionData",
        tag: "Predictions",
        summary: "Remove a prediction's data",
        description:
          "Input, output, logs, files and bodies of webhooks go at once; the record stays until its retention ends, with `data_removed`. One that has not ended is refused: cancel it first.",
        access: "predictions:write",
        path: PredictionPathSchema,
        answers: { 204: empty("Its data is gone.") },
        errors: ["not_found", "conflict"],
      },
      async (c) => {
        const { accountId } = c.get("principal");
        const { status } = await findOwn(c, (id) => shard.removePredictionData(c.env, id, accountId));
        if (isTerminal(status)) return c.body(null, 204);
        throw new EdgeplaneError("conflict", "The prediction has not ended: cancel it first.");
      },
    ),
  );

  routes.route("/:id/webhooks", deliveryRoutes(shard));

  routes.get(
    "/:id/stream",
    operation(
      {
        id: "streamPrediction",
        tag: "Predictions",
        summary: "Stream a prediction's events",
        description: "`output`, `logs`, `error`, and `done` at the end.",
        access: "link_or_key",
        path: PredictionPathSchema,
        query: LinkQuerySchema,
        header: z.object({ "Last-Event-ID": LastEventIdSchema }),
        errors: ["too_many_streams"],
        answers: {
          200: { description: "The events.", content: { "text/event-stream": { schema: StreamEventSchema } } },
        },
      },
      async (c, { path: { id }, query, header }) => {
        const signed =
          query.signature !== undefined &&
          (await verifyLink(c.env.EDGEPLANE_SECRET, "stream", streamResource(id), query, Date.now()));
        if (!signed) await authenticate(c, "predictions:read");
        const open = (named: string) => openEventStream(c, shard, named, "replicate", header["Last-Event-ID"], signed);
        if (signed) return open(id);
        const hasForm = isPredictionId(id, numericVar(c.env, "SHARD_COUNT"));
        // One of the caller's own ids may have the form of ours.
        const found = hasForm ? await open(id).catch(absentAsNull) : null;
        return found ?? open(await idOfOwn(c, id));
      },
    ),
  );

  return routes;
}

function absentAsNull(error: unknown): null {
  if (error instanceof EdgeplaneError && error.code === "not_found") return null;
  throw error;
}

/** The page that the query asks for. */
async function listPage(
  c: AppContext,
  shard: ShardPort,
  query: z.output<typeof ListQuerySchema>,
): Promise<Page<ListedPrediction>> {
  const { cursor } = query;
  const page = await shard.listPredictions(c.env, c.get("principal").accountId, {
    direction: cursor?.direction === "previous" ? "newer" : "older",
    from: cursor === null ? null : { id: cursor.id, createdAt: cursor.createdAt },
    limit: query.limit ?? MAX_PAGE_SIZE,
    createdAfter: query.created_after ?? null,
    createdBefore: query.created_before ?? null,
    model: query.model ?? null,
    version: query.version ?? null,
    deployment: query.deployment ?? null,
    source: query.source ?? null,
    status: query.status ?? null,
  });
  const results = await Promise.all(
    page.predictions.map(async (one) => {
      const { logs: _, ...listed } = await presentPrediction(inKnownStatus(c, one), c.env.EDGEPLANE_SECRET);
      return listed;
    }),
  );
  return pageOf(c.req.url, results, nextOf(cursor, page), previousOf(cursor, page));
}

/**
 * Older than the page: behind its last entry, or what it reached; from an empty page of newer ones, at the place that
 * it began at.
 */
function nextOf(cursor: Cursor | null, { entries, more, reached }: ListPage): Cursor | null {
  if (cursor?.direction === "previous") {
    const last = entries.at(-1) ?? { createdAt: cursor.createdAt, id: `${cursor.id}~` };
    return { direction: "next", createdAt: last.createdAt, id: last.id };
  }
  return more && reached !== null ? { direction: "next", createdAt: reached.createdAt, id: reached.id } : null;
}

/** Newer than the page; from an empty page of older ones, at the place that it began at. */
function previousOf(cursor: Cursor | null, { entries, more, reached }: ListPage): Cursor | null {
  if (cursor === null) return null;
  if (cursor.direction === "previous") {
    return more && reached !== null ? { direction: "previous", createdAt: reached.createdAt, id: reached.id } : null;
  }
  const first = entries[0] ?? { createdAt: cursor.createdAt, id: cursor.id.slice(0, PREFIX_CHARS) };
  return { direction: "previous", createdAt: first.createdAt, id: first.id };
}
