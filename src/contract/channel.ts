/**
 * The control channel between a pool and the edge: one hibernating WebSocket, opened by the pool at
 * `GET /pool/v1/connect`. The text `ping` is answered `pong` by the platform itself, without waking the object:
 * a pool that pings every third of its lease holds it at no cost.
 *
 * An edge and a pool of neighbouring releases work together, whichever is older (docs/operate.md, "Upgrade"). So, for
 * all that crosses between them, here and in claim.ts, event.ts, parked.ts and job.ts:
 * - A key that is new is optional, and whoever doesn't know it leaves it out.
 * - A message of a new `type` is left alone by whoever doesn't know it. What must be heard, or would make a reader of
 *   the release before refuse the rest (a new event, verdict, reason or kind in a list that is checked as a whole), is
 *   sent only to who says in `hears` that it hears it.
 * - Anything else is another protocol: `PROTOCOL` goes up by one, and `OLDEST_PROTOCOL` stays one behind.
 * `test/unit/wire` checks messages of both against the schemas of the release before.
 */
import * as z from "zod";
import { LaneNameSchema } from "./job.ts";
import { GrantSchema } from "./claim.ts";
import { ManifestSchema } from "./manifest.ts";
import { ParkedOutcomeSchema } from "./parked.ts";

export const ClaimRefSchema = z.object({ id: z.string(), token: z.string() });
export type ClaimRef = z.infer<typeof ClaimRefSchema>;

/** A model that the pool offered and the registry doesn't take. */
export const ModelRefusalSchema = z.object({ model: z.string(), version: z.string(), reason: z.string() });
export type ModelRefusal = z.infer<typeof ModelRefusalSchema>;

export const MAX_DEVICE_PROBLEM_CHARS = 1024;
export const DeviceSchema = z.object({
  /** `cpu`, or the index that CUDA_VISIBLE_DEVICES takes. */
  id: z.string(),
  kind: z.enum(["cpu", "cuda"]),
  name: z.string(),
  memoryBytes: z.number().nullable(),
  /** Why nothing new is put on it; left out while it is well, and by older pools. */
  problem: z.string().max(MAX_DEVICE_PROBLEM_CHARS).optional(),
});
export type Device = z.infer<typeof DeviceSchema>;

/** What pool and edge speak, and the oldest that they still do; a pool that speaks none of them is refused. */
export const PROTOCOL = 2;
export const OLDEST_PROTOCOL = 2;

/** Names of what a side understands beyond its protocol. */
const HearsSchema = z.array(z.string().max(64)).max(64);

/** What pools that hear of it are told to ask again: which models they serve, how models run. */
export type Nudge = "models" | "configurations";

/** What a pool has room for, of one version of a model. */
export const ModelRoomSchema = z.object({
  /** `owner/name`. */
  model: z.string().max(130),
  version: z.string().max(64),
  /**
   * How many more predictions the pool takes: those that it expects to begin within half a second, one batch at least.
   */
  room: z.number().int().nonnegative().max(1_000_000),
  /**
   * How many of them it starts at once: free slots, and ahead of these what begins within 50 ms, one batch at least.
   */
  startNow: z.number().int().nonnegative().max(1_000_000),
  /** In how many milliseconds a cold model should be ready; 0: it is; null: nobody knows. */
  readyInMs: z.number().nonnegative().nullable().default(0),
  /** Why this host can't run it: its set-up failed. The pool offers no room while this stands. */
  problem: z.string().max(8192).nullable().default(null),
  /**
   * What of this host runs short (its disk, its uplink), so that it offers no room for now. Nobody's fault: other hosts
   * run what waits, and this one goes on by itself.
   */
  pausedBy: z.string().max(1024).optional(),
});
export type ModelRoom = z.infer<typeof ModelRoomSchema>;

/** Versions that a pool offers at most. */
export const MAX_POOL_MODELS = 500;

/** What one lane learns from a room statement. */
export const LaneRoomSchema = z.object({
  lane: LaneNameSchema,
  models: z.array(ModelRoomSchema).max(MAX_POOL_MODELS),
  /** Predictions whose grants the pool has received since its last statement: the rooms told here are less these. */
  seen: z.array(z.string()).max(10_000),
  /**
   * Predictions that this pool no longer holds, and the milliseconds of its device that each took: what its account is
   * charged.
   */
  ended: z.array(z.object({ id: z.string(), ms: z.number().nonnegative() })).max(10_000),
});
export type LaneRoom = z.infer<typeof LaneRoomSchema>;

/** Pool to edge. */
export const PoolMessageSchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("hello"),
    protocol: z.number().int(),
    /** The oldest protocol that the pool speaks, too; without it, `protocol` alone. */
    oldestProtocol: z.number().int().optional(),
    /** What it understands beyond that, by name; an older pool doesn't say. */
    hears: HearsSchema.optional(),
    session: z.string().min(8).max(64),
    /**
     * The session of this pool's life before: it is over, so that what was granted to it need not wait for its lease.
     */
    previous: z.string().min(8).max(64).optional(),
    /** A name for the host, kept over restarts. */
    pool: z.string().max(128),
    version: z.string(),
    lanes: z.array(LaneNameSchema).max(64),
    devices: z.array(DeviceSchema).max(64),
    /** For how long it has told what its devices do; an older pool doesn't say. */
    meteredMs: z.number().int().nonnegative().optional(),
    /** What keeps its models from the pool's secrets and from each other; an older pool doesn't say. */
    isolation: z.enum(["namespaces", "user", "none"]).optional(),
    models: z.array(ManifestSchema).max(MAX_POOL_MODELS),
    /** The pool parks its events in Redis: where its keys begin, and what stands at its `probe` key (parked.ts). */
    kv: z.object({ prefix: z.string().max(200), probe: z.string().max(64) }).optional(),
  }),
  /**
   * What the pool has room for, and which grants it has received. `n` grows with each statement of a session. `full`:
   * it names all models, and those that it doesn't name have no room; else the others stay as they were told.
   */
  z.object({
    type: z.literal("room"),
    n: z.number().int().nonnegative(),
    full: z.boolean(),
    lanes: z.array(LaneRoomSchema).max(64),
  }),
  /** The pool stops intake: lanes must not count on it any more. */
  z.object({ type: z.literal("draining") }),
  /** The pool has parked this request. */
  z.object({ type: z.literal("parked"), n: z.number().int() }),
]);
export type PoolMessage = z.infer<typeof PoolMessageSchema>;

/** The newest protocol that an edge speaks with a pool that says so; null: they have none in common. */
export function commonProtocol(hello: { protocol: number; oldestProtocol?: number | undefined }): number | null {
  const newest = Math.min(PROTOCOL, hello.protocol);
  return newest >= Math.max(OLDEST_PROTOCOL, hello.oldestProtocol ?? hello.protocol) ? newest : null;
}

/**
 * The log that lanes produce to. A pool goes on reading the one before for `readBothMs`. Without an address (`upstash`)
 * the pool takes the one of its own settings, which win in any case: a cluster beside it, or credentials of its own.
 */
export const DesiredLogSchema = z.object({
  epoch: z.number().int(),
  driver: z.enum(["embedded", "upstash"]),
  url: z.string().optional(),
  username: z.string().optional(),
  password: z.string().optional(),
  readBothMs: z.number(),
});
export type DesiredLog = z.infer<typeof DesiredLogSchema>;

/** Edge to pool. */
export const EdgeMessageSchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("welcome"),
    /** The newest protocol that both speak; an older edge doesn't say. */
    protocol: z.number().int().optional(),
    /** What the edge understands beyond that, by name; an older edge doesn't say. */
    hears: HearsSchema.optional(),
    leaseMs: z.number(),
    /** Whether `/pool/v1/events` takes events; else they must be parked. */
    eventsOpen: z.boolean().default(true),
    /**
     * Whether the pool's token lets its models into the list; where it doesn't, they are found only if others
     * registered them.
     */
    registersModels: z.boolean().optional(),
    /** Of the pool's models, those that don't get into the list, and why. */
    refusedModels: z.array(ModelRefusalSchema).optional(),
    /**
     * To a pool that parks events: whether the edge finds them, and else why not. `final`: it won't without a change of
     * settings.
     */
    kv: z.object({ problem: z.string().nullable(), final: z.boolean() }).optional(),
    log: DesiredLogSchema.optional(),
  }),
  /** The lanes produce to another log from now on. */
  z.object({ type: z.literal("log"), log: DesiredLogSchema }),
  /** Predictions to run, granted already. The pool acknowledges them in its next room statement, within 500 ms. */
  z.object({ type: z.literal("grants"), grants: z.array(GrantSchema) }),
  /** State your room, in full. */
  z.object({ type: z.literal("tell") }),
  /** There is work on this lane: poll it. */
  z.object({ type: z.literal("work"), lane: z.string() }),
  /** Ask again which models you serve, or how models run: only to pools that say in `hears` that they hear it. */
  z.object({ type: z.literal("models") }),
  z.object({ type: z.literal("configurations") }),
  /** End, as at SIGTERM: what runs has so long to finish. Only to pools that say in `hears` that they hear it. */
  z.object({ type: z.literal("leave"), withinMs: z.number().nonnegative() }),
  z.object({ type: z.literal("cancel"), claims: z.array(ClaimRefSchema) }),
  /** What became of the parked request `n`. */
  z.object({ type: z.literal("settled"), n: z.number().int(), outcome: ParkedOutcomeSchema }),
  /**
   * Does the pool still hold these? It answers each that it never got with a `released: unseen` event, and refuses that
   * token from then on.
   */
  z.object({ type: z.literal("probe"), claims: z.array(ClaimRefSchema) }),
]);
export type EdgeMessage = z.infer<typeof EdgeMessageSchema>;
