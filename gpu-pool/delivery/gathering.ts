/**
 * How long events that nobody waits for gather before they leave. What lets a job start or end leaves at once. Chunks
 * and logs rest after a request that carried many: at thousands of events a second, what leaves together costs the edge
 * and every reader less, and at few the rest is too short to be seen. Metrics, which come with something else sooner or
 * later, wait for it a moment.
 */
import type { Clock } from "../scheduling/clock.ts";
import type { EventBody } from "./claim-outbox.ts";

const REST_MS_PER_EVENT = 0.2;
const MAX_REST_MS = 50;
const METRIC_PATIENCE_MS = 250;

export type Gathering = {
  /** When an event of this type, added now, is to leave at the latest; monotonic milliseconds. */
  leavesAtMs(type: EventBody["type"]): number;
  /** A request with so many events leaves now. */
  sent(events: number): void;
};

export function createGathering(clock: Clock): Gathering {
  let restsUntilMs = 0;
  return {
    leavesAtMs(type) {
      const nowMs = clock.nowMs();
      if (type === "output" || type === "log") return Math.max(nowMs, restsUntilMs);
      return type === "metric" ? nowMs + METRIC_PATIENCE_MS : nowMs;
    },
    sent(events) {
      restsUntilMs = clock.nowMs() + Math.min(MAX_REST_MS, events * REST_MS_PER_EVENT);
    },
  };
}
