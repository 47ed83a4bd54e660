/** `/admin/v1/dead-letters`: predictions that ended without an answer of their model, to look at and to replay. */
import { Hono } from "hono";
import * as z from "zod";
import { EdgeplaneError } from "../../contract/errors.ts";
import { deadLetterReasons } from "../../contract/published.ts";
import { readPublishSettings } from "../../log/publish-settings.ts";
import { forgetDeadLetters, listDeadLetters, noteReplays } from "../../registry/dead-letters.ts";
import type { DeadLetter, DeadLetterFilter } from "../../registry/dead-letters.ts";
import { replayDeadLetter } from "../../shard/replay.ts";
import type { Replay } from "../../shard/replay.ts";
import type { App, AppContext } from "../app.ts";
import { chargesReplays } from "./charge-replay.ts";
import { json, operation } from "../operation.ts";
import { decodeCursor, encodeCursor, forward, nextCursor } from "../replicate/cursor.ts";

const MAX_BODY_BYTES = 64 * 1024;
const MAX_REPLAYS = 200;
/** Each replay is two calls into shards. */
const PARALLEL_REPLAYS = 16;

const TimeSchema = z.iso
  .datetime({ offset: true, error: "a time such as 2026-11-26T12:00:00Z" })
  .transform((text) => Date.parse(text));
const FilterSchema = z.object({
  model: z.string().optional().meta({ description: "`owner/name`." }),
  lane: z.string().optional(),
  reason: z.enum(deadLetterReasons).optional(),
  from: TimeSchema.optional().meta({ description: "Those that ended at this time or later." }),
  to: TimeSchema.optional().meta({ description: "Those that ended before this time." }),
});
const PageSchema = FilterSchema.extend({
  open: z.enum(["true", "false"]).optional().meta({ description: "`true`: only those that were not replayed." }),
  limit: z.coerce.number().int().min(1).max(500).default(100),
  cursor: z.string().optional(),
});
const LimitSchema = z.number().int().min(1).max(MAX_REPLAYS).default(MAX_REPLAYS);
const ReplayRequestSchema = FilterSchema.extend({ ids: z.array(z.string()).min(1).max(MAX_REPLAYS).optional() })
  .extend({ limit: LimitSchema })
  .strict()
  .refine(({ ids, limit: _limit, ...filter }) => (ids !== undefined) !== Object.keys(filter).length > 0, {
    error: "name either `ids`, or what they share: `model`, `lane`, `reason`, `from`, `to`",
  });

const DeadLetterSchema = z.object({
  id: z.string(),
  model: z.string(),
  version: z.string(),
  lane: z.string(),
  reason: z.enum(deadLetterReasons),
  attempt: z.number(),
  ended_at: z.string(),
  replayed_as: z.string().nullable(),
});
const ListSchema = z.object({ results: z.array(DeadLetterSchema), next_cursor: z.string().nullable() });
const ReplaySchema = z.object({
  id: z.string(),
  outcome: z.enum(["created", "existing", "refused", "unknown", "not_dead", "data_removed"]),
  replayed_as: z.string().nullable(),
  code: z.string().optional().meta({ description: "Of one that is refused: why, as docs/errors.md has it." }),
  detail: z.string().optional(),
});
const ReplaysSchema = z.object({
  results: z.array(ReplaySchema),
  more: z.boolean().meta({ description: "More fit than one call replays: call again." }),
});

export function deadLetterRoutes(): Hono<App> {
  const routes = new Hono<App>();

  routes.get(
    "/",
    operation(
      {
        id: "listDeadLetters",
        tag: "Operator",
        summary: "List dead letters",
        description:
          "The newest first, for 8 days, or until a replay finds that their data is gone. They are kept while `PUBLISH_TOPICS` has `jobs.dlq`.",
        access: "operator",
        query: PageSchema,
        answers: { 200: json(ListSchema, "A page.") },
      },
      async (c, { query }) => {
        demandTopic(c);
        const { open, limit, cursor, ...filter } = query;
        const from = forward(decodeCursor(cursor));
        const after = from === null ? null : { endedAt: from.createdAt, id: from.id };
        const found = await listDeadLetters(c.env.DB, filterOf(filter, open === "true"), after, limit + 1);
        const next = nextCursor(found, limit, ({ endedAt, id }) => ({ createdAt: endedAt, id }));
        return c.json({
          results: found.slice(0, limit).map(showDeadLetter),
          next_cursor: next === null ? null : encodeCursor(next),
        });
      },
    ),
  );

  routes.post(
    "/replay",
    operation(
      {
        id: "replayDeadLetters",
        tag: "Operator",
        summary: "Replay dead letters",
        description:
          "Makes one new prediction of each, with its input, model and deadlines counted anew; `replay_of` names the dead letter. A dead letter that was replayed before answers `existing`, with the same id. One that a budget or a full queue refuses says so, and can be replayed later. Those named by `ids` are found whether or not `jobs.dlq` was on when they ended.",
        access: "operator",
        body: {
          schema: ReplayRequestSchema,
          maxBytes: MAX_BODY_BYTES,
          examples: { ids: { ids: ["04kq8m…"] }, model: { model: "acme/echo", from: "2026-11-26T00:00:00Z" } },
        },
        answers: { 200: json(ReplaysSchema, "What became of each.") },
      },
      async (c, { body }) => {
        const { ids, more } = await wanted(c, body);
        const replays: Replay[] = [];
        const charge = chargesReplays(c);
        for (let start = 0; start < ids.length; start += PARALLEL_REPLAYS) {
          const part = ids.slice(start, start + PARALLEL_REPLAYS);
          replays.push(...(await Promise.all(part.map(async (id) => replayDeadLetter(c.env, id, charge)))));
        }
        const made = replays.flatMap((replay) => ("replayedAs" in replay ? [replay] : []));
        const gone = replays.filter(({ outcome }) => outcome === "data_removed" || outcome === "unknown");
        await noteReplays(c.env.DB, made);
        await forgetDeadLetters(
          c.env.DB,
          gone.map(({ id }) => id),
        );
        return c.json({ results: replays.map(showReplay), more });
      },
    ),
  );

  return routes;
}

/** Which dead letters a replay is about; those that were replayed only when their ids are given. */
async function wanted(
  c: AppContext,
  { ids, limit, ...filter }: z.output<typeof ReplayRequestSchema>,
): Promise<{ ids: string[]; more: boolean }> {
  if (ids !== undefined) return { ids: [...new Set(ids)], more: false };
  demandTopic(c);
  const found = await listDeadLetters(c.env.DB, filterOf(filter, true), null, limit + 1);
  return { ids: found.slice(0, limit).map(({ id }) => id), more: found.length > limit };
}

function demandTopic(c: AppContext): void {
  if (readPublishSettings(c.env).topics.has("jobs.dlq")) return;
  throw new EdgeplaneError(
    "invalid_request",
    "Dead letters are not kept: set `PUBLISH_TOPICS` to a list with `jobs.dlq` in wrangler.toml and deploy. A replay by `ids` works without it.",
  );
}

function filterOf(filter: z.output<typeof FilterSchema>, open: boolean): DeadLetterFilter {
  const { model = null, lane = null, reason = null, from = null, to = null } = filter;
  return { model, lane, reason, from, to, open };
}

function showDeadLetter({ endedAt, replayedAs, ...rest }: DeadLetter): z.infer<typeof DeadLetterSchema> {
  return { ...rest, ended_at: new Date(endedAt).toISOString(), replayed_as: replayedAs };
}

function showReplay(replay: Replay): z.infer<typeof ReplaySchema> {
  const { id, outcome } = replay;
  const why = replay.outcome === "refused" ? { code: replay.code, detail: replay.detail } : {};
  return { id, outcome, replayed_as: "replayedAs" in replay ? replay.replayedAs : null, ...why };
}
