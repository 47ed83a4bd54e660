/** The record in the log: a hint that one prediction waits. It never carries input, a tenant or a key. */
import * as z from "zod";
import { PrioritySchema } from "./prediction.ts";
import type { Priority } from "./prediction.ts";

export const LaneNameSchema = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "lower-case letters, digits and hyphens");

export const JobSchema = z.object({
  v: z.literal(1),
  /** The prediction's id. */
  id: z.string().length(26),
  lane: LaneNameSchema,
  priority: PrioritySchema,
  /** `owner/name` and version, so that a pool can tell whether it has the model before it claims. */
  model: z.string(),
  version: z.string(),
  /** Relative cost, 1 unless the model says more. */
  cost: z.number().positive(),
  /** Deadline to start, milliseconds since the epoch: a hint, the shard decides. */
  startBy: z.number(),
  /** The log's epoch: copies of an older epoch are refused by their claims. */
  epoch: z.number().int().nonnegative(),
  /** W3C trace context of the request that made the prediction. */
  traceparent: z.string().optional(),
});
export type Job = z.infer<typeof JobSchema>;

/** The topic of a lane's jobs of one priority. */
export function jobTopic(lane: string, priority: Priority): string {
  return `jobs.${lane}.${priority}`;
}
