/**
 * Revenue minus rent, by model: what predictions were charged, and what the devices cost that they and instances had.
 */
import { rentPinned } from "./rents.ts";
import type { RentOf } from "./rents.ts";
import type { UsageGroup } from "./usage-query.ts";

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

/**
 * Lines by time and model, overhead last of its time; groups are told apart by model, device, phase and, as their
 * `key`, the rent that held when their time was used. `rentOf` answers for those whose rent was not known then.
 */
export function marginOf(groups: readonly UsageGroup[], rentOf: RentOf): MarginLine[] {
  const lines = new Map<string, { line: MarginLine; rentMicros: Map<string, bigint> }>();
  for (const group of groups) {
    const model = OVERHEAD_PHASES.has(group.phase) || group.model === "" ? null : group.model;
    const key = JSON.stringify([group.at, model]);
    const { line, rentMicros } = lines.get(key) ?? {
      line: noLine(group.at, model),
      rentMicros: new Map<string, bigint>(),
    };
    lines.set(key, { line, rentMicros });
    const us = group.gpuUs + group.instanceUs;
    const rent = rentPinned(group.key) ?? rentOf(group.device ?? "");
    if (rent === null) line.unpricedUs += us;
    else {
      const before = rentMicros.get(rent.currency) ?? 0n;
      rentMicros.set(rent.currency, before + BigInt(us) * BigInt(rent.perSecondNano));
    }
    add(line, group);
  }
  for (const { line, rentMicros } of lines.values())
    for (const [currency, micros] of rentMicros) if (micros !== 0n) amountsOf(line, currency).rentNano = nanoOf(micros);
  return [...lines.values()].map(({ line }) => line).toSorted(byTimeAndModel);
}

function add(line: MarginLine, { requests, gpuUs, instanceUs, costNano, currency }: UsageGroup): void {
  line.requests += requests;
  line.attemptUs += gpuUs;
  line.instanceUs += instanceUs;
  if (costNano !== 0) amountsOf(line, currency).revenueNano += costNano;
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
