/**
 * What a pool has room for: of each model what it expects to begin within half a second, and how many of these starts
 * may be counted at once. Pure.
 *
 * A free slot takes a batch. Ahead of a slot wait as many batches as begin within half a second by what runs took
 * lately: none behind a long run, so that nothing waits here for long while another pool has a free slot. A few runs
 * say little of the next ones: ahead of all slots together wait one batch, and one more for each run that was seen.
 */
import type { ModelRoom } from "../../src/contract/channel.ts";

/** What is taken ahead begins within this time. */
const HORIZON_MS = 500;
/** What a run is taken to last before the first was measured. */
const UNKNOWN_RUN_MS = 500;
/** Starts are counted ahead of a slot for what begins within this time, for one batch at least and so many at most. */
const COUNTED_WITHIN_MS = 50;
const MAX_COUNTED_BATCHES = 16;

/** One instance of a model. */
export type Place = {
  /** What the instance shares with those of other models. */
  device: string;
  slots: number;
  /** Slots that run nothing and could. */
  free: number;
  /** For how long each batch runs that is under way, in milliseconds. */
  runningForMs: readonly number[];
  /** `cold`: it starts when it is needed. `out`: it can't be set up now, or is leaving. */
  state: "warm" | "cold" | "out";
};

/** One model, as its runner sees it. */
export type ModelLoad = {
  /** `owner/name`. */
  model: string;
  version: string;
  lane: string;
  /** The most members of a batch. */
  batch: number;
  places: readonly Place[];
  /** Granted and not running. */
  waiting: number;
  /** How many of these have their start counted. */
  counted: number;
  /** Its batches pick among what waits: of what comes while others wait no start is counted before it is picked. */
  picks: boolean;
  /** What a batch took lately; null before the first. */
  runMs: number | null;
  /** How many batches have run here. */
  runs: number;
  /** In how many milliseconds it should be ready; 0: it is; null: nobody knows. */
  readyInMs: number | null;
  /** Why this host can't set it up; null when it can, or may try again. */
  problem: string | null;
  /** The most that it takes besides what it holds, whatever its slots say. */
  limit: number;
  /** What of this host runs short, so that it takes nothing for now; then `limit` is 0. */
  pausedBy?: string | null;
};

/** Room of each model, in their order. `aheadBatches` is the most that wait ahead of a slot. */
export function roomsOf(loads: readonly ModelLoad[], aheadBatches: number): ModelRoom[] {
  const quotas = startQuotas(loads);
  return loads.map((load, index) => {
    const open = load.problem === null ? load.limit : 0;
    const room = Math.max(0, Math.min(open, capacityOf(load, aheadBatches) - load.waiting));
    const taken = load.picks ? load.waiting : load.counted;
    const startNow = Math.max(0, Math.min(room, (quotas[index] ?? 0) - taken));
    const { model, version, readyInMs, problem } = load;
    const pausedBy = load.pausedBy ?? null;
    return { model, version, room, startNow, readyInMs, problem, ...(pausedBy === null ? {} : { pausedBy }) };
  });
}

/** How many may wait here: those that begin within half a second. */
export function capacityOf({ places, runMs, runs, batch }: ModelLoad, aheadBatches: number): number {
  const slots = places.reduce((sum, place) => sum + freeOf(place), 0);
  const ahead = places.reduce((sum, place) => sum + aheadOf(place, runMs, aheadBatches), 0);
  return batch * (slots + Math.min(ahead, 1 + runs));
}

/**
 * How many starts of each model may be counted that don't run yet: a batch for each free slot, and ahead of these, on
 * each device, no more than its largest model may have ahead alone, whatever the number of models. Those that have
 * starts ahead of their slots go first, then the busiest, then those of large batches.
 */
export function startQuotas(loads: readonly ModelLoad[]): number[] {
  const countedOf = (load: ModelLoad, slots: number): number => slots * load.batch * countedBatches(load.runMs);
  const budgets = new Map<string, number>();
  for (const load of loads) {
    const slots = new Map<string, number>();
    for (const place of warm(load.places)) slots.set(place.device, (slots.get(place.device) ?? 0) + place.slots);
    for (const [device, count] of slots)
      budgets.set(device, Math.max(budgets.get(device) ?? 0, countedOf(load, count)));
  }
  const free = loads.map(({ places, batch }) => batch * warm(places).reduce((sum, place) => sum + place.free, 0));
  const quotas = [...free];
  const order = loads.map((load, index) => {
    const ahead = Math.max(0, load.counted - (free[index] ?? 0));
    return { load, index, ahead, held: heldBy(load) };
  });
  order.sort((one, other) => other.ahead - one.ahead || other.held - one.held || other.load.batch - one.load.batch);
  for (const { load, index } of order) {
    for (const { device, slots } of warm(load.places)) {
      const left = budgets.get(device) ?? 0;
      const taken = Math.min(left, countedOf(load, slots));
      budgets.set(device, left - taken);
      quotas[index] = (quotas[index] ?? 0) + taken;
    }
  }
  return quotas;
}

/**
 * Batches ahead of a slot whose starts may be counted: what a pool that dies with its disk then held of them is lost,
 * though it never ran.
 */
function countedBatches(runMs: number | null): number {
  const soon = Math.floor(COUNTED_WITHIN_MS / Math.max(runMs ?? UNKNOWN_RUN_MS, 0.1));
  return Math.max(1, Math.min(soon, MAX_COUNTED_BATCHES));
}

/** In how many milliseconds time alone changes the room; Infinity when it doesn't. */
export function nextChangeInMs(loads: readonly ModelLoad[]): number {
  let nextMs = Infinity;
  for (const { places, runMs } of loads) {
    const usualMs = runMs ?? UNKNOWN_RUN_MS;
    for (const runningForMs of places.flatMap((place) => place.runningForMs)) {
      for (const atMs of [usualMs - HORIZON_MS, usualMs + HORIZON_MS + 1]) {
        if (atMs > runningForMs) nextMs = Math.min(nextMs, atMs - runningForMs);
      }
    }
  }
  return nextMs;
}

/** How many batches an instance starts at once. One that must start first takes a batch a slot. */
function freeOf({ state, slots, free }: Place): number {
  if (state !== "warm") return state === "cold" ? slots : 0;
  return free;
}

/** How many batches begin within half a second behind those. */
function aheadOf({ state, free, runningForMs }: Place, runMs: number | null, aheadBatches: number): number {
  if (state !== "warm") return 0;
  const usualMs = runMs ?? UNKNOWN_RUN_MS;
  const withinMs = Math.floor(HORIZON_MS / Math.max(usualMs, 0.1));
  let batches = free * Math.max(0, Math.min(withinMs - 1, aheadBatches));
  for (const forMs of runningForMs) {
    // One that is late may be late for as long again.
    const leftMs = Math.abs(usualMs - forMs);
    if (leftMs <= HORIZON_MS) batches += Math.max(1, Math.min(withinMs, aheadBatches));
  }
  return batches;
}

function warm(places: readonly Place[]): Place[] {
  return places.filter(({ state }) => state === "warm");
}

function heldBy({ waiting, places }: ModelLoad): number {
  return places.reduce((sum, { runningForMs }) => sum + runningForMs.length, waiting);
}
