/**
 * What a shard that starts again looks after, hands on and feeds to the index once more, a page of rows at a time. Of
 * ended predictions one note says since when the index may miss some: an index entry a row would cost more than the
 * search through all rows that follows a crash.
 */
import { log, reasonOf } from "../telemetry/log.ts";
import type { Outgoing } from "./outgoing.ts";
import type { Outline, Row } from "./row.ts";
import type { Rules } from "./rules.ts";
import { FIRST_DUE } from "./store.ts";
import type { DuePlace, Store } from "./store.ts";
import { createUnkeptSearch } from "./unkept.ts";
import type { Unlisted } from "./unlisted.ts";

/** An alarm comes this much late at most. */
const SWEEP_LAG_MS = 5000;
/** How far the note may lag behind what the index has. */
const NOTE_EVERY_MS = 60_000;

type Deps = {
  rules: Rules;
  now: () => number;
  store: Store;
  outgoing: Outgoing;
  unlisted: Unlisted;
  noteWake: (row: Pick<Row, "wakeAt">) => void;
};

export function createRecovery({ rules, now, store, outgoing, unlisted, noteWake }: Deps) {
  const unkept = createUnkeptSearch({ store, outgoing });
  /** What the note says, in milliseconds since the epoch; null: there is none. */
  let noted: number | null = null;
  /** What is still to be looked through: ended rows that the index may miss, and unfinished ones. */
  let unfed: { since: number; after: string } | null = null;
  let unfinished: { before: number; after: DuePlace; feeds: boolean } | null = null;

  /** Whether all that waits is to be handed on, as a note says. */
  let handing = false;

  function note(since: number | null): void {
    noted = since;
    store.noteUnfed(since);
  }

  function collect(): void {
    noted = store.unfedSince();
    unfed = noted === null ? null : { since: noted, after: "" };
    handing = store.isHanding();
    const withinMs = handing ? rules.sweepMaxMs : 2 * rules.sweepMs;
    unfinished = { before: now() + withinMs + SWEEP_LAG_MS, after: FIRST_DUE, feeds: true };
  }

  /** Looks through the next page; whether there are more. */
  function step(): boolean {
    if (unlisted.isSearching()) {
      for (const id of unlisted.lost()) {
        store.wakeLater(id, now());
        noteWake({ wakeAt: now() });
      }
    } else if (unfed !== null) {
      const { rows, next } = store.unfed(unfed.since, unfed.after);
      for (const row of rows) outgoing.feed(row);
      unfed = next === null ? null : { ...unfed, after: next };
    } else if (unfinished !== null) {
      const { rows, next } = store.unfinished(unfinished.before, unfinished.after);
      for (const row of rows) {
        if (row.state === "waiting") outgoing.hand(row);
        if (unfinished.feeds && !row.fed) outgoing.feed(row);
      }
      unfinished = next === null ? null : { ...unfinished, after: next };
    } else return unkept.step();
    return true;
  }

  return {
    /** A prediction has ended that the index may not have. */
    endedUnfed({ createdAt }: Outline): void {
      if (noted === null || createdAt < noted) note(Math.min(createdAt, outgoing.unfedSince() ?? createdAt));
    },

    /** Whether the index is to have what is in the rows only. */
    isSearching: (): boolean => unkept.isPending(),

    /** From time to time: what was not kept is looked for, and the note follows what the index has. */
    rest(): void {
      unkept.begin();
      if (unkept.isPending() || unfed !== null || unfinished?.feeds === true) return;
      const since = outgoing.unfedSince();
      if (noted !== null && (since === null || since - noted >= NOTE_EVERY_MS)) note(since);
    },

    /** After a start: begins to collect what may not have left before it. */
    begin(): void {
      try {
        collect();
      } catch (error) {
        log.error("recovery_incomplete", { reason: reasonOf(error) });
      }
    },

    /** Collects from the next page of rows; whether there are more. What can't be read is no reason not to go on. */
    more(): boolean {
      try {
        return step();
      } catch (error) {
        log.error("recovery_incomplete", { reason: reasonOf(error) });
        unfed = null;
        unfinished = null;
        return false;
      }
    },

    /**
     * All that waits is to be handed on, whatever was handed on before: with the next pages, and after a start again
     * until `handedOn`. Who asks for it may forget all that waits.
     */
    handOnAgain(): void {
      if (!handing) store.noteHanding(true);
      handing = true;
      const feeds = unfinished?.feeds === true;
      unfinished = { before: now() + rules.sweepMaxMs + SWEEP_LAG_MS, after: FIRST_DUE, feeds };
    },

    /** Lanes have all that they were to have so far. */
    handedOn(): void {
      if (!handing || unfinished !== null) return;
      handing = false;
      store.noteHanding(false);
    },

    /** Hands on from the next page of what a lane is to have and was not kept. */
    handOnUnread(lane: string): void {
      const after = outgoing.unread.get(lane);
      if (after === undefined) return;
      outgoing.unread.delete(lane);
      const { rows, next } = store.unfinished(now() + rules.sweepMaxMs + SWEEP_LAG_MS, after);
      if (next !== null) outgoing.unread.set(lane, next);
      for (const row of rows) if (row.state === "waiting" && row.fixed.lane === lane) outgoing.hand(row);
    },
  };
}
