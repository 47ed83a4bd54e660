/** What a lane knows of one version of a model. */
import type { Priority } from "../contract/prediction.ts";
import type { FairNode } from "./fair-queue.ts";
import { createRate } from "./rate.ts";
import type { Rate } from "./rate.ts";
import type { Curve } from "./types.ts";

/** What a run is taken to take before one has ended, in milliseconds a unit of cost. */
const UNKNOWN_RUN_MS = 1000;
/** How much a run that ended changes what the next is taken to take. */
const NEWS_SHARE = 0.1;

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
  /** When it last had room or a run. */
  openAt: number;
  rate: Rate;
  /** What a run takes a unit of cost: the mean, and the mean weighted by length, which no number of empty runs moves. */
  meanMs: number | null;
  squares: number;
  lengths: number;
  curves: { at: number; forMs: number; curves: Record<Priority, Curve> } | null;
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
    openAt: -Infinity,
    rate: createRate(),
    meanMs: null,
    squares: 0,
    lengths: 0,
    curves: null,
  };
}

/** What a pick is charged, a unit of cost. */
export function chargePerCost({ squares, lengths }: Version): number {
  return lengths > 0 ? squares / lengths : UNKNOWN_RUN_MS;
}

export function meanPerCost({ meanMs }: Version): number {
  return meanMs ?? UNKNOWN_RUN_MS;
}

/** A run of `cost` took `ms`. */
export function noteRun(version: Version, ms: number, cost: number): void {
  const perCost = ms / cost;
  if (perCost <= 0) return;
  version.meanMs = version.meanMs === null ? perCost : blend(version.meanMs, perCost);
  version.squares = version.lengths === 0 ? perCost ** 2 : blend(version.squares, perCost ** 2);
  version.lengths = version.lengths === 0 ? perCost : blend(version.lengths, perCost);
}

export function blend(before: number, now: number): number {
  return before + NEWS_SHARE * (now - before);
}

/** How many of its rows are out of the order. */
export function markedOf({ waiting, available }: Version): number {
  return waiting.high + waiting.normal + waiting.low - available;
}
