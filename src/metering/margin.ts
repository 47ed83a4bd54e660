/** Revenue minus rent, by model: what predictions were charged, and what the devices cost that they and instances had. */
import type { UsageGroup } from "./usage-query.ts";

/** `rate`: in nano-units of `currency` for a second of that kind of device; null: none is known. */
export type Rent = { currency: string; rate: (device: string) => number | null };
export type Amounts = { revenueNano: number; rentNano: number };
/** `model` null: overhead, which is time that belongs to no model. `unpricedUs`: of device time, what has no rent. */
export type MarginLine = {
  at: number;
  model: string | null;
  requests: number;
  attemptUs: number;
  instanceUs: number;
  unpricedUs: number;
  amounts: Map<string, Amounts>;
};

/** Rent is counted in millionths of a nano-unit, as a microsecond is the millionth of a second. */
const MICROS = 1_000_000n;
/** Phases that are nobody's model, whichever is named. */
const OVERHEAD_PHASES: ReadonlySet<string | null> = new Set(["boot", "unused"]);

/** Lines by time and model, overhead last of its time; groups are told apart by model, device and phase. */
export function marginOf(groups: readonly UsageGroup[], rent: Rent | null): MarginLine[] {
  const lines = new Map<string, { line: MarginLine; rentMicros: bigint }>();
  for (const group of groups) {
    const model = OVERHEAD_PHASES.has(group.phase) || group.model === "" ? null : group.model;
    const key = JSON.stringify([group.at, model]);
    const one = lines.get(key) ?? { line: noLine(group.at, model), rentMicros: 0n };
    lines.set(key, one);
    one.rentMicros += add(one.line, group, rent);
  }
  for (const { line, rentMicros } of lines.values())
    if (rent !== null && rentMicros !== 0n) amountsOf(line, rent.currency).rentNano = nanoOf(rentMicros);
  return [...lines.values()].map(({ line }) => line).toSorted(byTimeAndModel);
}

/** Adds the group to its line, and answers its rent. */
function add(line: MarginLine, group: UsageGroup, rent: Rent | null): bigint {
  const { requests, gpuUs, instanceUs, costNano, currency, device } = group;
  const us = gpuUs + instanceUs;
  const rate = rent?.rate(device ?? "") ?? null;
  line.requests += requests;
  line.attemptUs += gpuUs;
  line.instanceUs += instanceUs;
  if (rate === null) line.unpricedUs += us;
  if (costNano !== 0) amountsOf(line, currency).revenueNano += costNano;
  return rate === null ? 0n : BigInt(us) * BigInt(rate);
}

function noLine(at: number, model: string | null): MarginLine {
  return { at, model, requests: 0, attemptUs: 0, instanceUs: 0, unpricedUs: 0, amounts: new Map() };
}

function amountsOf({ amounts }: MarginLine, currency: string): Amounts {
  const known = amounts.get(currency) ?? { revenueNano: 0, rentNano: 0 };
  amounts.set(currency, known);
  return known;
}

/** Rounded half up once. */
function nanoOf(micros: bigint): number {
  const shifted = micros + MICROS / 2n;
  const floor = shifted / MICROS - (shifted < 0n && shifted % MICROS !== 0n ? 1n : 0n);
  return Number(floor);
}

function byTimeAndModel(a: MarginLine, b: MarginLine): number {
  if (a.at !== b.at) return a.at - b.at;
  if (a.model === null || b.model === null) return Number(a.model === null) - Number(b.model === null);
  return a.model < b.model ? -1 : 1;
}
