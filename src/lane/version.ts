/** What a lane knows of one version of a model. */
import type { ColdStart } from "../contract/cold-start.ts";
import type { Priority } from "../contract/prediction.ts";
import type { Session } from "./credit.ts";
import type { FairNode } from "./fair-queue.ts";
import { createRate } from "./rate.ts";
import type { Rate } from "./rate.ts";
import type { Curve } from "./types.ts";

/** What a run is taken to take before one has ended, in milliseconds a unit of cost. */
const UNKNOWN_RUN_MS = 1000;
/** How much a run that ended changes what the next is taken to take. */
const NEWS_SHARE = 0.1;

/** As many times what is in flight must have ended before the measured rate counts. */
const KNOWN_ROUNDS = 2;

/** What runs took a unit of cost, and of how many that is the mean. */
export type Mean = { meanMs: number | null; runs: number };

const NO_RUNS: Mean = { meanMs: null, runs: 0 };
/** A mean is one of so many runs at most. */
const MEAN_RUNS = 30;
/** After so many runs of its own an account's mean counts as much as everybody's. */
const TRUSTED_RUNS = 2;
const CLEAR_DIFFERENCE = 0.15;

export type Version = {
  key: string;
  model: string;
  version: string;
  node: FairNode;
  /** Rows, of each priority; and how many of them nobody has been handed. */
  waiting: Record<Priority, number>;
  available: number;
  /** Since when there is something that nobody has been handed; null: there is nothing. */
  waitingSince: number | null;
  /** Released to the log and not granted, oldest first. */
  released: Set<string>;
  /** Reserved or granted, and not ended. */
  inFlight: number;
  /** Where the next look at its sessions begins. */
  nextSession: number;
  /** Sessions that were told of what waits. */
  coming: Set<Session>;
  /** When it last had room or a run. */
  openAt: number;
  rate: Rate;
  /**
   * What a run takes a unit of cost: the mean, and the mean weighted by length, which no number of empty runs moves.
   */
  meanMs: number | null;
  runs: number;
  squares: number;
  lengths: number;
  /** From its grant to its end, in milliseconds, waiting in the pool included. */
  heldMs: number | null;
  /** What was measured last, and how much was in flight then. */
  lastRate: { perSecond: number; inFlight: number } | null;
  curves: { at: number; forMs: number; curves: Record<Priority, Curve> } | null;
  /** What the scaler said of the machine that will serve it, and when; null: nobody knows, or none is rented. */
  coldStart: { told: ColdStart; at: number } | null;
  /** Since the lane's start, for the scaler: device time and waits in milliseconds. */
  totals: { arrived: number; started: number; waitedMs: number; ended: number; endedMs: number };
};

export function createVersion(key: string, model: string, version: string, node: FairNode): Version {
  return {
    key,
    model,
    version,
    node,
    waiting: { high: 0, normal: 0, low: 0 },
    available: 0,
    waitingSince: null,
    released: new Set(),
    inFlight: 0,
    nextSession: 0,
    coming: new Set(),
    openAt: -Infinity,
    rate: createRate(),
    meanMs: null,
    runs: 0,
    squares: 0,
    lengths: 0,
    heldMs: null,
    lastRate: null,
    curves: null,
    coldStart: null,
    totals: { arrived: 0, started: 0, waitedMs: 0, ended: 0, endedMs: 0 },
  };
}

/** What a pick is charged, a unit of cost. */
export function chargePerCost({ squares, lengths }: Version): number {
  return lengths > 0 ? squares / lengths : UNKNOWN_RUN_MS;
}

/**
 * What a run of one account is taken to take a unit of cost: what everybody's takes, unless its own clearly differ;
 * then, the more there were of them, what they took.
 */
export function meanPerCost(version: Mean, own: Mean = NO_RUNS): number {
  const general = version.meanMs ?? UNKNOWN_RUN_MS;
  if (own.meanMs === null || Math.abs(own.meanMs / general - 1) < CLEAR_DIFFERENCE) return general;
  return (own.meanMs * own.runs + general * TRUSTED_RUNS) / (own.runs + TRUSTED_RUNS);
}

/** A mean of the latest runs; of all while they are few. */
export function noteMean(mean: Mean, value: number): void {
  mean.runs = Math.min(MEAN_RUNS, mean.runs + 1);
  mean.meanMs = (mean.meanMs ?? 0) + (value - (mean.meanMs ?? 0)) / mean.runs;
}

/** A run of `cost`, granted at `grantedAt`, took `ms`. */
export function noteRun(version: Version, ms: number, cost: number, grantedAt: number, now: number): void {
  const perCost = ms / cost;
  if (perCost > 0) {
    noteMean(version, perCost);
    version.squares = version.lengths === 0 ? perCost ** 2 : blend(version.squares, perCost ** 2);
    version.lengths = version.lengths === 0 ? perCost : blend(version.lengths, perCost);
  }
  const heldMs = now - grantedAt;
  version.heldMs = version.heldMs === null ? heldMs : blend(version.heldMs, heldMs);
  version.rate.mark(now);
  // What is in flight tells of the slots only while others wait for them.
  if (version.waitingSince === null) return;
  const inFlight = version.inFlight + 1;
  const measured = version.rate.perSecond(now, inFlight, 1);
  if (measured !== null) version.lastRate = { perSecond: measured, inFlight };
}

function blend(before: number, now: number): number {
  return before + NEWS_SHARE * (now - before);
}

/**
 * How many get their turn in a second while others wait; null: nobody knows. What is measured now; else what was
 * measured last, by what is in flight; else, by Little's law, what is in flight over the time that it is.
 */
export function turnsPerSecond({ rate, inFlight, heldMs, lastRate }: Version, now: number): number | null {
  const measured = rate.perSecond(now, inFlight, KNOWN_ROUNDS);
  if (measured !== null || inFlight === 0) return measured;
  if (lastRate !== null) return (lastRate.perSecond * inFlight) / lastRate.inFlight;
  return (inFlight * 1000) / Math.max(1, heldMs ?? UNKNOWN_RUN_MS);
}

/** How many of its rows are out of the order. */
export function markedOf({ waiting, available }: Version): number {
  return waiting.high + waiting.normal + waiting.low - available;
}
