/**
 * What attempts and instances took of devices, as pools measure it. Device time is counted in integer microseconds: at
 * every instant a device's time goes to the attempts that it runs, shared by their costs; while it runs none, to the
 * instances that live on it; while there are none, to nobody (`unused`). So the parts add up to the device's time.
 *
 * The usage of an attempt that ends its prediction's claim rides on that last event (event.ts), and is stored with it.
 * What ended otherwise is told in `usage` of an events request: those reports have no place in their claim's order, and
 * the edge takes each attempt's once. Intervals have a call of their own, `POST /pool/v1/usage`.
 */
import * as z from "zod";
import type { Device } from "./channel.ts";

/** Of one attempt; a pool leaves out what a model records beyond that. */
export const MAX_UNITS = 16;
export const UNIT_NAME = /^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/;
/** Reports in one events request, and intervals in one call. */
export const MAX_USAGE_REPORTS = 1000;
export const MAX_INTERVALS = 500;
/** An instance has this many devices at most. */
export const MAX_DEVICES = 64;
/** A pool tells of a quarter of an hour at most, and makes one of many only while its edge is away. */
const MAX_INTERVAL_MS = 31 * 86_400_000;
const MAX_DEVICE_CHARS = 128;

/** The kind of a device, as usage has it. */
export function kindOf({ kind, name }: Pick<Device, "kind" | "name">): string {
  return kind === "cpu" ? "cpu" : name.slice(0, MAX_DEVICE_CHARS) || "cuda";
}

/** What a pool most likely ran something on. */
export function firstKind(devices: readonly Device[]): string {
  const first = devices.find(({ kind }) => kind !== "cpu") ?? devices[0];
  return first === undefined ? "cpu" : kindOf(first);
}

const Whole = z.number().int().nonnegative();

/** What the model counted of its own work, by name: tokens, images, seconds. */
export const UnitsSchema = z
  .record(z.string().regex(UNIT_NAME), z.number().nonnegative())
  .refine((units) => Object.keys(units).length <= MAX_UNITS, `at most ${MAX_UNITS} units`);
export type Units = z.infer<typeof UnitsSchema>;

export const AttemptUsageSchema = z.object({
  /** The kind of device as the pool names it (`Device.name`), or `cpu`. Of several, the first one's. */
  device: z.string().min(1).max(MAX_DEVICE_CHARS),
  /** How many devices it ran on at a time; left out: one. */
  devices: z.number().int().min(1).max(MAX_DEVICES).optional(),
  /** From the grant's arrival in the pool, or the end of its run before, to the begin of its run. */
  queuedMs: Whole,
  /** How long it ran, by the pool's monotonic clock. */
  runMs: Whole,
  /** Its share of its devices' busy time, in microseconds. */
  gpuUs: Whole,
  units: UnitsSchema.optional(),
});
export type AttemptUsage = z.infer<typeof AttemptUsageSchema>;

/**
 * How an attempt ended of which no event tells. `stopped`: canceled or out of time while it ran. `bisected`: its batch
 * failed, and it runs again. `lost`: its process died. `superseded`: the edge had given its prediction to another
 * claim.
 */
export const reportedOutcomes = ["stopped", "bisected", "lost", "superseded"] as const;

export const UsageReportSchema = z.object({
  id: z.string(),
  /** Of the claim under which it ran. */
  token: z.string(),
  attempt: z.number().int().positive(),
  outcome: z.enum(reportedOutcomes),
  usage: AttemptUsageSchema,
});
export type UsageReport = z.infer<typeof UsageReportSchema>;

/** `ok`: taken, or nobody's. `later`: its shard did not answer; tell it again. */
export const UsageVerdictSchema = z.object({
  token: z.string(),
  attempt: z.number().int(),
  verdict: z.enum(["ok", "later"]),
});
export type UsageVerdict = z.infer<typeof UsageVerdictSchema>;

export const intervalPhases = ["boot", "setup", "idle", "drain", "unused"] as const;

/** What every form of an interval says. `model` is `owner/name`; null with `unused`, and while a machine boots. */
const interval = {
  instance: z.string().max(200),
  model: z.string().max(130).nullable(),
  version: z.string().max(64).nullable(),
  /** As in `AttemptUsage`. */
  device: z.string().min(1).max(MAX_DEVICE_CHARS),
  phase: z.enum(intervalPhases),
  /** The devices' time that nobody's attempt had, in microseconds. */
  gpuUs: Whole,
};

/**
 * An interval as a pool tells it. It knows no clock but its own: it says how long ago the interval ended, and how long
 * it was.
 */
export const IntervalReportSchema = z.object({
  ...interval,
  endedMsAgo: Whole,
  lengthMs: Whole.max(MAX_INTERVAL_MS),
});
export type IntervalReport = z.infer<typeof IntervalReportSchema>;

/** An interval as the edge has it: by its own clock, in milliseconds since the epoch. */
export const IntervalUsageSchema = z.object({ ...interval, fromMs: Whole, toMs: Whole });
export type IntervalUsage = z.infer<typeof IntervalUsageSchema>;

/**
 * Intervals are numbered without gaps within a session: the first of these has number `from`. A pool tells them until
 * they are taken.
 */
export const IntervalsRequestSchema = z.object({
  session: z.string().min(8).max(64),
  /** So that the number after the last is one, too. */
  from: Whole.max(Number.MAX_SAFE_INTEGER - MAX_INTERVALS),
  intervals: z.array(IntervalReportSchema).min(1).max(MAX_INTERVALS),
});
export type IntervalsRequest = z.infer<typeof IntervalsRequestSchema>;

/** The number after the last that is taken. */
export const IntervalsReplySchema = z.object({ next: Whole });
export type IntervalsReply = z.infer<typeof IntervalsReplySchema>;
