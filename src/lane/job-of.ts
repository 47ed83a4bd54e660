/** A job record: what a pool may know of a prediction before its claim. */
import type { Job } from "../contract/job.ts";
import type { LaneEntry } from "./types.ts";

/** The record's content: what a pool may know before its claim. */
export function jobOf(lane: string, entry: LaneEntry, epoch: number): Job {
  const { id, priority, model, version, cost, startBy, traceparent } = entry;
  const job: Job = { v: 1, id, lane, priority, model, version, cost, startBy, epoch };
  if (traceparent !== null) job.traceparent = traceparent;
  return job;
}
