/**
 * What became of the predictions of canaries that ended here, until their objects were told. Kept in memory: what is
 * lost with it is not counted, which puts a canary's return off and causes none.
 */
import { addCounts, noCounts } from "../contract/canary.ts";
import type { ArmCounts, Counts } from "../contract/canary.ts";
import type { ErrorCode } from "../contract/errors.ts";
import type { Row } from "./row.ts";

/** Ends that speak against the version: what hosts, the gateway or the client did are not among them. */
const MODEL_FAULTS: readonly string[] = [
  "model_error",
  "model_crashed",
  "model_unresponsive",
  "setup_failed",
  "timed_out",
] satisfies ErrorCode[];

/** Canaries whose rhythm is remembered. */
const MAX_CANARIES = 1000;
const FIRST_EVERY_MS = 1000;

type Part = { seq: number; counts: Counts };
type Tally = { counts: Counts | null; sent: Part | null; everyMs: number };

export type CanaryTally = ReturnType<typeof createCanaryTally>;

export function createCanaryTally() {
  const tallies = new Map<string, Tally>();
  /** Of the last part, whichever canary's: it never falls, so that none is taken for one that was sent again. */
  let seq = 0;

  function isIdle({ counts, sent }: Tally): boolean {
    return counts === null && sent === null;
  }

  /** Who has nothing to be told makes room. */
  function makeRoom(): void {
    for (const [id, tally] of tallies) {
      if (tallies.size < MAX_CANARIES) return;
      if (isIdle(tally)) tallies.delete(id);
    }
  }

  return {
    /** The prediction has ended; to be called before its row is stored, each time that it is. */
    ended(row: Row): void {
      const { canary } = row.fixed;
      if (canary === undefined || row.isTallied === true) return;
      row.isTallied = true;
      const counted = countsOf(row);
      if (counted === null) return;
      const known = tallies.get(canary.id);
      if (known === undefined) makeRoom();
      const tally = known ?? { counts: null, sent: null, everyMs: FIRST_EVERY_MS };
      tallies.set(canary.id, tally);
      tally.counts ??= noCounts();
      addCounts(tally.counts, { ...noCounts(), [canary.arm]: counted });
    },

    /** The canaries whose objects are to be told something. */
    waiting: () => [...tallies].flatMap(([id, tally]) => (isIdle(tally) ? [] : [id])),

    everyMs: (id: string): number => tallies.get(id)?.everyMs ?? FIRST_EVERY_MS,

    /** What is to be told; the same again until it was settled. */
    take(id: string): Part | null {
      const tally = tallies.get(id);
      if (tally === undefined) return null;
      if (tally.sent === null && tally.counts !== null) {
        seq += 1;
        tally.sent = { seq, counts: tally.counts };
        tally.counts = null;
      }
      return tally.sent;
    },

    /** The object has what was taken. */
    settle(id: string, answer: { hasEnded: boolean; everyMs: number }): void {
      const tally = tallies.get(id);
      if (tally === undefined) return;
      tally.sent = null;
      tally.everyMs = answer.everyMs;
      if (answer.hasEnded) tally.counts = null;
    },
  };
}

/** How the end counts; null: it says nothing of the version. */
function countsOf({ state, error, startedAt }: Row): ArmCounts | null {
  if (state === "aborted") return { ended: 0, failed: 0, unstarted: 1 };
  if (state === "succeeded") return startedAt === null ? null : { ended: 1, failed: 0, unstarted: 0 };
  if (state !== "failed" || !MODEL_FAULTS.includes(error?.code ?? "")) return null;
  return { ended: 1, failed: 1, unstarted: 0 };
}
