/**
 * What usage records add up to. Pure; integers, so that no order of adding changes a sum. Pools are strangers: what
 * they tell may add up to more than a number counts exactly, and stays at that.
 */
import type { AttemptRecord, MeterRecord } from "./record.ts";

/** What sums are kept by. `phase` is `run` for attempts; an empty text: it has none. */
export type Dimensions = {
  model: string;
  key: string;
  device: string;
  deployment: string;
  phase: string;
  currency: string;
};

export const dimensionNames = ["model", "key", "device", "deployment", "phase"] as const;
export type DimensionName = (typeof dimensionNames)[number];

/** `requests`: attempts and answers of caches; `billed`: those of them that cost. `instanceUs`: of intervals. */
export type Sums = {
  requests: number;
  billed: number;
  queuedMs: number;
  runMs: number;
  gpuUs: number;
  instanceUs: number;
  costNano: number;
  units: Record<string, number>;
};

/** What a UTC day's records of one group add up to. `at`: when the day begins. */
export type DaySums = { at: number; group: Dimensions; sums: Sums };

/** Names of units that one sum tells; records tell all. */
export const MAX_UNIT_NAMES = 32;
/** Stands for what is beyond the groups that one hour, or one day, of an account may have. */
export const OTHERS = "(others)";

export function noSums(): Sums {
  return { requests: 0, billed: 0, queuedMs: 0, runMs: 0, gpuUs: 0, instanceUs: 0, costNano: 0, units: {} };
}

export function addSums(to: Sums, { units, ...numbers }: Sums): void {
  for (const name of Object.keys(numbers) as (keyof typeof numbers)[]) to[name] = countable(to[name] + numbers[name]);
  addUnits(to.units, units);
}

export function addUnits(to: Record<string, number>, units: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(units)) {
    if (!Object.hasOwn(to, name) && Object.keys(to).length >= MAX_UNIT_NAMES) continue;
    to[name] = countable((Object.hasOwn(to, name) ? (to[name] ?? 0) : 0) + count);
  }
}

/** The sum, or the most that is exact as a number. */
export function countable(sum: number): number {
  return Math.max(-Number.MAX_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, sum));
}

export function dimensionsOf(record: MeterRecord): Dimensions {
  const { device, deployment, model } = record;
  const shared = { device, deployment: deployment ?? "", model: model ?? "" };
  if (record.kind === "instance.interval") return { ...shared, key: "", phase: record.phase, currency: "" };
  return { ...shared, key: record.key ?? "", phase: "run", currency: record.currency ?? "" };
}

export function sumsOf(record: MeterRecord): Sums {
  if (record.kind === "instance.interval") return { ...noSums(), instanceUs: record.gpuUs };
  const { queuedMs, runMs, gpuUs, costNano, units } = record;
  return {
    ...{ queuedMs, runMs, gpuUs, costNano, units, instanceUs: 0 },
    requests: record.flags.includes("correction") ? 0 : 1,
    billed: billedOf(record),
  };
}

/** What the record adds to the number of attempts that are billed. */
function billedOf({ billed, wasBilled = billed, flags }: AttemptRecord): number {
  return Number(billed) - (flags.includes("correction") ? Number(wasBilled) : 0);
}
