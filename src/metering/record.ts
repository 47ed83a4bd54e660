/**
 * Usage records: together they account for every rented GPU-millisecond, each of them in exactly one. A record never
 * changes. What turns out otherwise later is told by a correction: a record of its own, whose numbers are added to what
 * was told before, so that the sum over records is right at any time.
 *
 * `attempt`: one counted start of a prediction, or the answer of a cache, charged to the account whose prediction it
 * is. `instance.interval`: time of a device in which no attempt ran, charged to the deployment's owner or to
 * `overhead`, never to a caller.
 */
import * as z from "zod";

/** The account of what is charged to nobody. No account of the registry has this id. */
export const OVERHEAD_ACCOUNT = "overhead";

/** Milliseconds since the epoch. */
const TimeSchema = z.number().int().nonnegative();
/** Of a correction, it may be negative. */
const AmountSchema = z.number().int();

export const attemptOutcomes = [
  "succeeded",
  "failed",
  "canceled",
  "aborted",
  /** Its pool or its process was lost, and it may run again. */
  "lost",
  /** It was stopped, or handed back, after it had begun. */
  "stopped",
  /** It ran in a batch that failed, and ran again in a half of it. */
  "bisected",
  /** Another claim had the prediction by the time that this one told. */
  "superseded",
] as const;
export type AttemptOutcome = (typeof attemptOutcomes)[number];

/**
 * `capped`: its pool told more than the edge saw between grant and end, or, of an interval, than its devices can have
 * had. `estimated`: its pool never told. `superseded`: of a claim that was no longer the latest. `correction`: its
 * numbers are what an earlier record lacked. `late`: what it tells belongs to a month that was closed, and counts in
 * the month in which it came.
 */
export const recordFlags = ["capped", "estimated", "superseded", "correction", "late"] as const;
export type RecordFlag = (typeof recordFlags)[number];

/** What the model says that it used, by name (`input_token_count`, `image_count`). */
export const UnitsSchema = z.record(z.string().max(64), z.number());

const shared = {
  v: z.literal(2),
  /** Unique, and the same however often the record is sent. */
  id: z.string(),
  /** When it ended by the edge's clock: the hour, the day and the month that it counts in follow from it. */
  at: TimeSchema,
  /** Of a late one: when it ended. */
  endedAt: TimeSchema.optional(),
  account: z.string(),
  deployment: z.string().nullable(),
  /** The kind of the device, as its pool names it; `none` where nothing ran. */
  device: z.string(),
  /** Its share of its devices' time, in microseconds. */
  gpuUs: AmountSchema,
  flags: z.array(z.enum(recordFlags)),
};

export const AttemptRecordSchema = z.object({
  ...shared,
  kind: z.literal("attempt"),
  /** `id` is `<prediction>.<attempt>`; of a correction `<prediction>.<attempt>.correction`. */
  prediction: z.string(),
  /** From 1; 0: a cache answered. */
  attempt: z.number().int().nonnegative(),
  /** The id of the API key; for a JSON Web Token `jwt:`, its issuer and its subject; null where it isn't known. */
  key: z.string().nullable(),
  /** `owner/name`, and the SHA-256 of the upload. */
  model: z.string(),
  version: z.string(),
  /** From the grant's arrival in the pool to the begin of its run, and the run: by the pool's monotonic clock. */
  queuedMs: AmountSchema,
  runMs: AmountSchema,
  units: UnitsSchema,
  outcome: z.enum(attemptOutcomes),
  cached: z.boolean(),
  billed: z.boolean(),
  /** Of a correction: whether what it corrects was billed, where that differs from `billed`. */
  wasBilled: z.boolean().optional(),
  /** Billionths of `currency`, by the price that held when the prediction was accepted. 0 where there is no price. */
  costNano: AmountSchema,
  currency: z.string().nullable(),
  /** The id of that price. */
  price: z.string().nullable(),
  /** The plugin that asked, where no client did. */
  askedBy: z.string().optional(),
});
export type AttemptRecord = z.infer<typeof AttemptRecordSchema>;

export const intervalPhases = ["boot", "setup", "idle", "drain", "unused"] as const;

export const IntervalRecordSchema = z.object({
  ...shared,
  /** `id` is `<pool session>.<n>`. */
  kind: z.literal("instance.interval"),
  instance: z.string(),
  /** Null: no instance of a model was on the device. */
  model: z.string().nullable(),
  version: z.string().nullable(),
  phase: z.enum(intervalPhases),
  fromMs: TimeSchema,
  toMs: TimeSchema,
});
export type IntervalRecord = z.infer<typeof IntervalRecordSchema>;

export const MeterRecordSchema = z.discriminatedUnion("kind", [AttemptRecordSchema, IntervalRecordSchema]);
export type MeterRecord = z.infer<typeof MeterRecordSchema>;

/**
 * A record and its number in the sequence of who hands it on: a shard, or a pool session. Numbers grow within a
 * sequence; whoever takes records keeps the highest number of each sequence, and drops what is not above it.
 */
export type NumberedRecord = { n: number; record: MeterRecord };
