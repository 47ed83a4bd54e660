/** What a log refuses of a record before it appends any record of the request, in the same words at every door. */
import { EdgeplaneError } from "./errors.ts";

/**
 * Kafka's default of `message.timestamp.after.max.ms`: a record from the future would outlive its topic's retention.
 */
export const DEFAULT_MAX_AHEAD_MS = 3_600_000;

/** `index`: the record's place in the request, from 0. `rule`: where the limit comes from. */
export function recordTooLarge(index: number, bytes: number, limitBytes: number, rule: string): EdgeplaneError {
  return new EdgeplaneError(
    "payload_too_large",
    `Record ${index} takes ${bytes} bytes with its key and headers; ${rule} takes ${limitBytes}. No record was stored. Send a reference to the data instead.`,
  );
}

/** Throws `invalid_request` for a record whose own time is further ahead than the log takes. */
export function checkTimestamp(
  index: number,
  timestamp: number | null | undefined,
  nowMs: number,
  maxAheadMs: number,
): void {
  if (typeof timestamp !== "number" || timestamp - nowMs <= maxAheadMs) return;
  throw new EdgeplaneError(
    "invalid_request",
    `Record ${index}: its timestamp is ${timestamp - nowMs} ms ahead; the log takes ${maxAheadMs}. Send milliseconds since 1970. No record was stored.`,
  );
}
