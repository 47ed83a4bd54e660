/**
 * What is known of one canary, without its object: the counts that shards report, what they say, and what is to be done
 * about it. A report that is sent again counts once; what shards lose with their memory is not counted at all, which
 * puts a decision off and turns none around.
 */
import { addCounts, noCounts } from "../contract/canary.ts";
import type { Counts } from "../contract/canary.ts";
import type { Canary, Step } from "../registry/canaries.ts";
import { exposedOf, judge } from "./judge.ts";
import type { Fault, Finding, Looked } from "./judge.ts";

/** What a shard counted since its last report. `source`: the shard's life, whose reports `seq` numbers from 1. */
export type Report = { source: string; seq: number; counts: Counts };

/** Shards' lives that are remembered: a report that comes again comes soon. */
const MAX_SOURCES = 4096;
/** Predictions of the canary that have to end in a step before the next one: in doubt, the old version wins. */
const STEP_SAMPLES = 10;
/** Shards report once a second, and less often where they are many: some 200 reports a second at most. */
const LEAST_EVERY_MS = 1000;
const MOST_EVERY_MS = 10_000;
const MS_A_SOURCE = 5;

/**
 * What an object keeps. `stepFrom`: how many of the canary's predictions had ended when the step began; `stepAt`: when
 * that was, null before it was looked at.
 */
export type Kept = { counts: Counts; looked: Looked; step: number; stepFrom: number; stepAt: number | null };

export function newKept(): Kept {
  return { counts: noCounts(), looked: { failed: 0, unstarted: 0 }, step: 0, stepFrom: 0, stepAt: null };
}

export type Decision =
  | { type: "return"; reason: string }
  | { type: "step"; to: Step }
  | { type: "promote"; reason: string }
  | null;

export type Watch = ReturnType<typeof createWatch>;

export function createWatch(kept: Kept = newKept()) {
  const sources = new Map<string, number>();

  return {
    kept,

    /** Adds a report; false when it was there before. */
    add({ source, seq, counts }: Report): boolean {
      if (seq <= (sources.get(source) ?? 0)) return false;
      sources.delete(source);
      sources.set(source, seq);
      for (const oldest of sources.keys()) {
        if (sources.size <= MAX_SOURCES) break;
        sources.delete(oldest);
      }
      addCounts(kept.counts, counts);
      return true;
    },

    /** How long a shard gathers before it reports again. */
    everyMs: () => Math.min(MOST_EVERY_MS, Math.max(LEAST_EVERY_MS, sources.size * MS_A_SOURCE)),

    decide(canary: Canary, now: number): Decision {
      const finding = judge(kept.counts, kept.looked);
      if (finding !== null) return { type: "return", reason: reasonOf(canary, kept.counts, finding) };
      const { ended } = kept.counts.canary;
      const { step, stepAt } = canary;
      // Steps that were set anew begin with the first again.
      if (kept.step !== step || (kept.stepAt ?? stepAt) !== stepAt) Object.assign(kept, { step, stepFrom: ended });
      kept.stepAt = stepAt;
      const current = canary.steps[canary.step];
      if (current === undefined) return null;
      if (now < canary.stepAt + current.bakeS * 1000 || ended - kept.stepFrom < STEP_SAMPLES) return null;
      const next = canary.steps[canary.step + 1];
      if (next !== undefined) return { type: "step", to: next };
      return current.percent < 100 ? null : { type: "promote", reason: "All of its steps were passed." };
    },
  };
}

const words: Record<Fault, string> = { failed: "failed", unstarted: "were not started in time" };

/** The finding in words, with its numbers. */
function reasonOf({ base, version }: Canary, counts: Counts, { fault, chance }: Finding): string {
  const share = (id: string, arm: Counts["base"]): string => {
    const all = exposedOf(arm, fault);
    const percent = all === 0 ? 0 : Math.round((arm[fault] / all) * 1000) / 10;
    return `of ${all} predictions of ${id.slice(0, 12)} ${arm[fault]} ${words[fault]} (${percent} %)`;
  };
  const rarity = chance === 0 ? "never" : `once in ${Math.round(1 / chance).toLocaleString("en-US")}`;
  return `${share(version, counts.canary)}, ${share(base, counts.base)}; chance alone would do that ${rarity}.`;
}
