/**
 * What a shard that starts again hands on and feeds to the index once more. Of ended predictions one note says since when the index may miss some: an
 * index entry a row would cost more than the search through all rows that follows a crash.
 */
import { log, reasonOf } from "../telemetry/log.ts";
import type { Outgoing } from "./outgoing.ts";
import type { Outline } from "./row.ts";
import type { Rules } from "./rules.ts";
import type { Store } from "./store.ts";

/** An alarm comes this much late at most. */
const SWEEP_LAG_MS = 5000;
/** How far the note may lag behind what the index has. */
const NOTE_EVERY_MS = 60_000;

type Deps = { rules: Rules; now: () => number; store: Store; outgoing: Outgoing };

export function createRecovery({ rules, now, store, outgoing }: Deps) {
  /** What the note says, in milliseconds since the epoch; null: there is none. */
  let noted: number | null = null;

  function note(since: number | null): void {
    noted = since;
    store.noteUnfed(since);
  }

  function collect(): void {
    noted = store.unfedSince();
    if (noted !== null) for (const row of store.unfed(noted)) outgoing.feed(row);
    for (const row of store.unconfirmed(now() + 2 * rules.sweepMs + SWEEP_LAG_MS)) {
      if (row.state === "waiting") outgoing.hand(row);
      if (!row.fed) outgoing.feed(row);
    }
  }

  return {
    /** A prediction has ended that the index may not have. */
    endedUnfed({ createdAt }: Outline): void {
      if (noted === null || createdAt < noted) note(Math.min(createdAt, outgoing.unfedSince() ?? createdAt));
    },

    /** From time to time: the note follows what the index has. */
    rest(): void {
      const since = outgoing.unfedSince();
      if (noted !== null && (since === null || since - noted >= NOTE_EVERY_MS)) note(since);
    },

    /** After a start: collects what may not have left before it. What can't be read is no reason not to start. */
    recover(): void {
      try {
        collect();
      } catch (error) {
        log.error("recovery_incomplete", { reason: reasonOf(error) });
      }
    },
  };
}
