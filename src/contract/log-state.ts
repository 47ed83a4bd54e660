/**
 * `POST /pool/v1/log-state`: a pool says that it can't read the log that it is to take jobs from, again each minute,
 * and once when it can.
 */
import * as z from "zod";
import { LaneNameSchema } from "./job.ts";

export const LogStateSchema = z.object({
  /** The host's name, as in the pool's hello. */
  pool: z.string().min(1).max(128),
  lane: LaneNameSchema,
  /** Why not; null: it reads again. */
  problem: z.string().min(1).max(500).nullable(),
});
export type LogState = z.infer<typeof LogStateSchema>;
