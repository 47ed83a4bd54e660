/** Events: what a pool reports of its claims. Each claim's events are numbered without gaps from the grant's `seq`. */
import * as z from "zod";
import { JsonSchema } from "./prediction.ts";
import { AttemptUsageSchema, MAX_USAGE_REPORTS, UsageReportSchema, UsageVerdictSchema } from "./usage.ts";

const claimed = { id: z.string(), token: z.string(), seq: z.number().int().nonnegative() };

/** Measured by the pool; durations in seconds as Replicate's `predict_time` has it. */
const MetricsSchema = z.record(z.string(), JsonSchema);

/** What the claim's last attempt took, of one that began. */
const measured = { usage: AttemptUsageSchema.optional() };

/**
 * Why a prediction failed. `model` is final. `input` and `late` are final, too, and need no start: the input can't be
 * run; its pool never began it, since it could not have ended by its deadline, and it ends as `aborted`. `crash` is a
 * loss that the pool saw (the process died while it ran this one alone): the shard counts it and lets it run again,
 * alone, until its attempts are spent.
 */
export const failureKinds = ["model", "input", "crash", "timeout", "late"] as const;

/**
 * Why a claim is handed back. `lost` counts as a loss if it had started; the others are free of charge. `unseen`: the
 * grant never reached the pool, which refuses its token from now on. `setup`: this host can't set the model up;
 * `problem` says why.
 */
export const releaseReasons = ["drain", "cannot_run", "no_room", "setup", "unseen", "lost"] as const;

/**
 * Of one chunk of output, as JSON in UTF-8: a row of the edge's database takes 2 MB. Pools stream none that is larger.
 */
export const MAX_CHUNK_BYTES = 1_500_000;
/** Of a prediction's logs the last ones are kept; no event carries more. */
export const MAX_LOG_CHARS = 256 * 1024;

export const PoolEventSchema = z.discriminatedUnion("type", [
  /** About to start (or, after a bisection, to start again): run only once this is answered `ok`. */
  z.object({ ...claimed, type: z.literal("starting") }),
  /** One chunk of an iterator's output. */
  z.object({ ...claimed, type: z.literal("output"), chunk: JsonSchema }),
  z.object({ ...claimed, type: z.literal("log"), text: z.string() }),
  z.object({ ...claimed, type: z.literal("metric"), metrics: MetricsSchema }),
  z.object({
    ...claimed,
    type: z.literal("succeeded"),
    /** The whole output, chunks included; or the key of its blob. */
    output: JsonSchema.optional(),
    outputBlob: z.string().optional(),
    metrics: MetricsSchema.optional(),
    ...measured,
  }),
  z.object({
    ...claimed,
    type: z.literal("failed"),
    kind: z.enum(failureKinds),
    error: z.object({ code: z.string(), message: z.string() }),
    metrics: MetricsSchema.optional(),
    ...measured,
  }),
  z.object({
    ...claimed,
    type: z.literal("released"),
    reason: z.enum(releaseReasons),
    problem: z.string().max(16_384).optional(),
    ...measured,
  }),
]);
export type PoolEvent = z.infer<typeof PoolEventSchema>;

/** Whether it brings what a model says, which plugins may screen. */
export function saysSomething({ type }: PoolEvent): boolean {
  return type === "output" || type === "log" || type === "succeeded" || type === "failed";
}

export const EventsRequestSchema = z.object({
  session: z.string().min(8).max(64),
  events: z.array(PoolEventSchema).max(5000),
  /** What attempts took whose end no event tells. */
  usage: z.array(UsageReportSchema).max(MAX_USAGE_REPORTS).optional(),
  /** True: it holds the lease, too, as the control channel is down. A request without events does so in any case. */
  heartbeat: z.boolean().optional(),
});
export type EventsRequest = z.infer<typeof EventsRequestSchema>;

/**
 * `ok`: stored (or seen before). `stale`: another claim has the prediction, or it is terminal: stop it, send no more.
 * `aborted`: it may not start, its deadline passed. `resend`: a gap; send again from `from`. `later`: try again.
 */
export const EventVerdictSchema = z.object({
  id: z.string(),
  token: z.string(),
  verdict: z.enum(["ok", "stale", "aborted", "resend", "later"]),
  /** With `ok`, the seq after the last that is stored; with `resend`, where to begin again. */
  next: z.number().int().optional(),
  /** The attempt that a `starting` counted. */
  attempt: z.number().int().optional(),
});
export type EventVerdict = z.infer<typeof EventVerdictSchema>;

/** One verdict per claim (id and token), not per event. `cancel` names claims to stop. */
export const EventsReplySchema = z.object({
  verdicts: z.array(EventVerdictSchema),
  cancel: z.array(z.object({ id: z.string(), token: z.string() })),
  /** One verdict per report of `usage`; an edge that takes none leaves it out. */
  usage: z.array(UsageVerdictSchema).optional(),
});
export type EventsReply = z.infer<typeof EventsReplySchema>;
