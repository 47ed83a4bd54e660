/** `/admin/v1/pools`: the GPU hosts. */
import { Hono } from "hono";
import * as z from "zod";
import type { Env } from "../../env.ts";
import type { PoolRoom } from "../../lane/rooms.ts";
import { versionKey } from "../../lane/types.ts";
import { callObject, objectNamed } from "../../object-calls.ts";
import { listPools, poolStates } from "../../registry/pools.ts";
import type { Pool } from "../../registry/pools.ts";
import { withoutUse } from "../../registry/version-reports.ts";
import { within } from "../../shard/within.ts";
import type { App } from "../app.ts";
import { json, operation } from "../operation.ts";
import { forwardCursorOf, wholeNumber } from "../parameters.ts";
import { listOf, listSchema } from "./page.ts";

const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 100;
/** A lane that was just woken waits a second for its pools; one that takes longer than this is left out. */
const LANE_LIMIT_MS = 3000;
const FlagSchema = z.enum(["true", "false"]).optional();

const ServedSchema = z.object({
  model: z.string().meta({ description: "`owner/name`." }),
  version: z.string(),
  room: z.int().optional().meta({ description: "How many more it takes. With `room=true`, of models it offers now." }),
  starts_now: z.int().optional().meta({ description: "How many of them begin at once." }),
  ready_in_ms: z.number().nullable().optional().meta({ description: "0: it is loaded; null: nobody knows." }),
  problem: z.string().nullable().optional().meta({ description: "Why it can't be set up there." }),
  is_wanted: z.literal(false).optional().meta({
    description: "It was deleted, or no host could set it up: its owner's matter, and nothing is wrong with the pool.",
  }),
});

const PoolSchema = z
  .object({
    session: z.string(),
    name: z.string().meta({ description: "As the pool calls itself: its host's name, if nobody said another." }),
    token: z.object({ id: z.string(), name: z.string() }),
    version: z.string().meta({ description: "Of the pool's software." }),
    state: z.enum(poolStates).meta({
      description: "`away`: its channel is down, and it may come back; `ended`: it left, or was away for a lease.",
    }),
    is_heard: z
      .boolean()
      .nullable()
      .meta({ description: "With `room=true`: whether it states its room, and takes what it is given." }),
    connected_at: z.iso.datetime(),
    seen_at: z.iso.datetime().meta({ description: "When its state was noted last; pings of an idle pool are not." }),
    lanes: z.array(z.string()),
    devices: z.array(
      z.object({
        id: z.string(),
        kind: z.string(),
        name: z.string(),
        memory_bytes: z.number().nullable(),
        problem: z.string().nullable().meta({ description: "Why nothing new is put on it." }),
      }),
    ),
    isolation: z.string().nullable().meta({ description: "What keeps its models apart; null: it doesn't say." }),
    models: z.array(ServedSchema),
  })
  .meta({ id: "Pool" });

export function poolListRoutes(): Hono<App> {
  const routes = new Hono<App>();
  routes.get(
    "/",
    operation(
      {
        id: "listPools",
        tag: "Operator",
        summary: "List the pools",
        description:
          "By what they said when they connected; no session is woken. `room=true` asks the lanes of the page's pools what these have room for.",
        access: "operator",
        query: z.object({
          limit: wholeNumber(1, MAX_LIMIT)
            .optional()
            .meta({ description: `How many at most; ${DEFAULT_LIMIT}.` }),
          cursor: forwardCursorOf(/^[A-Za-z0-9_-]{8,64}$/).meta({ description: "`next_cursor` of the page before." }),
          ended: FlagSchema.meta({
            description: "`true`: the last of those that left, in place of those that are there.",
          }),
          room: FlagSchema.meta({ description: "`true`: with room and problems of each model." }),
        }),
        answers: { 200: json(listSchema(PoolSchema), "A page, the longest connected first.") },
      },
      async (c, { query: { cursor, limit = DEFAULT_LIMIT, ended, room } }) => {
        const found = await listPools(c.env.DB, { after: cursor, limit: limit + 1, ended: ended === "true" });
        const rooms = room === "true" ? await askLanes(c.env, found.slice(0, limit)) : null;
        const useless = await withoutUse(c.env.DB, rooms === null ? [] : problemsIn(rooms));
        const pages = found.map((pool) => ({ ...pool, createdAt: pool.connectedAt, id: pool.session }));
        return c.json(listOf(pages, limit, (pool) => showPool(pool, rooms, useless)));
      },
    ),
  );
  return routes;
}

/** What lanes know of these pools, by session. A lane that can't be asked is left out. */
async function askLanes(env: Env, pools: readonly Pool[]): Promise<Map<string, PoolRoom[]>> {
  const byLane = new Map<string, string[]>();
  for (const { session, state, lanes } of pools) {
    if (state === "ended") continue;
    for (const lane of lanes) byLane.set(lane, [...(byLane.get(lane) ?? []), session]);
  }
  const answers = await Promise.all(
    [...byLane].map(async ([lane, sessions]) => {
      const asked = callObject(async () => objectNamed(env.LANE, lane).rooms(lane, sessions));
      return within(asked, LANE_LIMIT_MS).catch((): PoolRoom[] => []);
    }),
  );
  const bySession = new Map<string, PoolRoom[]>();
  for (const one of answers.flat()) bySession.set(one.session, [...(bySession.get(one.session) ?? []), one]);
  return bySession;
}

/** Models that some pool can't set up, as `owner/name:version`. */
function problemsIn(rooms: ReadonlyMap<string, PoolRoom[]>): string[] {
  const models = [...rooms.values()].flat().flatMap((room) => room.models);
  return [...new Set(models.flatMap(({ key, problem }) => (problem === null ? [] : key.replace(" ", ":"))))];
}

function showPool(
  pool: Pool,
  rooms: ReadonlyMap<string, PoolRoom[]> | null,
  useless: ReadonlySet<string>,
): z.output<typeof PoolSchema> {
  const told = rooms?.get(pool.session) ?? [];
  const byKey = new Map(told.flatMap(({ models }) => models.map((one) => [one.key, one])));
  return {
    session: pool.session,
    name: pool.name,
    token: { id: pool.token, name: pool.tokenName ?? "" },
    version: pool.version,
    state: pool.state,
    is_heard: rooms === null ? null : told.length > 0 && told.every(({ isHeard }) => isHeard),
    connected_at: new Date(pool.connectedAt).toISOString(),
    seen_at: new Date(pool.seenAt).toISOString(),
    lanes: pool.lanes,
    devices: pool.devices.map(({ memoryBytes, problem = null, ...device }) => ({
      ...device,
      memory_bytes: memoryBytes,
      problem,
    })),
    isolation: pool.isolation,
    models: pool.models.map((name) => ({
      ...showModel(name, byKey),
      ...(useless.has(name) ? { is_wanted: false } : {}),
    })),
  };
}

function showModel(
  name: string,
  byKey: ReadonlyMap<string, PoolRoom["models"][number]>,
): z.output<typeof ServedSchema> {
  const [model = "", version = ""] = name.split(":");
  const told = byKey.get(versionKey({ model, version }));
  if (told === undefined) return { model, version };
  const { room, startNow, readyInMs, problem } = told;
  return { model, version, room, starts_now: startNow, ready_in_ms: readyInMs, problem };
}
