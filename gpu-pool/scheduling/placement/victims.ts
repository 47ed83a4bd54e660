/**
 * Whom to end so that another fits. The least valuable go first: value is what it costs to load a model again, times
 * how much it is asked for. Pure.
 *
 * Who is in use keeps its place for a time that makes loading and loading again cost a small part of it, so that two
 * models that don't fit together take turns instead of doing nothing but load. After that it ends, too, once it has
 * finished what it runs: nobody waits for ever.
 */
import type { PlacedInstance, PlacementModel } from "./types.ts";

/** A turn lasts so many times what the two loads take. */
const TURN_LOADS = 3;
const SHORTEST_TURN_MS = 2000;
const LONGEST_TURN_MS = 120_000;
const UNKNOWN_LOAD_MS = 5000;
/** One that runs nothing may have paused between two predictions. */
const LINGER_MS = 500;
/** For a second instance of another model only those go that nobody has used for so long. */
const UNUSED_MS = 30_000;

export type Comer = {
  model: PlacementModel;
  /** It has no instance yet. */
  isFirst: boolean;
};

/** Up to when an instance may not be ended for the comer; Infinity: never by time alone. */
export function heldUntilMs(instance: PlacedInstance, owner: PlacementModel, { model, isFirst }: Comer): number {
  if (owner.pinned || instance.state === "loading" || instance.state === "leaving") return Infinity;
  const isIdle = instance.state === "idle";
  if (!isFirst) return isIdle && owner.model !== model.model ? instance.lastUsedMs + UNUSED_MS : Infinity;
  if (owner.model === model.model) return Infinity;
  const loadsMs = (owner.loadMs ?? UNKNOWN_LOAD_MS) + (model.loadMs ?? UNKNOWN_LOAD_MS);
  const turnMs = Math.min(LONGEST_TURN_MS, Math.max(SHORTEST_TURN_MS, TURN_LOADS * loadsMs));
  const turnEndMs = instance.readyAtMs + turnMs;
  return isIdle ? Math.min(turnEndMs, instance.lastUsedMs + LINGER_MS) : turnEndMs;
}

/** What is lost with an instance: the time to load it again, times how often that will be. */
export function valueOf({ loadMs, demand }: PlacementModel, instances: number): number {
  return ((loadMs ?? UNKNOWN_LOAD_MS) * demand) / Math.max(1, instances);
}

export type Candidate = { instance: PlacedInstance; value: number; heldUntilMs: number };

/**
 * The fewest and least valuable that free `missing` bytes, or when that many may be ended; null when they never may be.
 */
export function chooseVictims(
  candidates: readonly Candidate[],
  missing: number,
  nowMs: number,
): { victims: Candidate[]; atMs: number } | null {
  const bySoonest = candidates.toSorted((one, other) => one.heldUntilMs - other.heldUntilMs);
  let atMs = nowMs;
  let freed = 0;
  for (const { instance, heldUntilMs: untilMs } of bySoonest) {
    if (freed >= missing) break;
    atMs = Math.max(atMs, untilMs);
    freed += instance.bytes;
  }
  if (freed < missing || atMs === Infinity) return null;
  const eligible = candidates
    .filter((candidate) => candidate.heldUntilMs <= atMs)
    .sort((one, other) => one.value - other.value || one.instance.lastUsedMs - other.instance.lastUsedMs);
  const victims: Candidate[] = [];
  freed = 0;
  for (const candidate of eligible) {
    if (freed >= missing) break;
    victims.push(candidate);
    freed += candidate.instance.bytes;
  }
  // The last ones may free so much that earlier ones can stay.
  for (const candidate of victims.toReversed()) {
    if (freed - candidate.instance.bytes < missing) continue;
    victims.splice(victims.indexOf(candidate), 1);
    freed -= candidate.instance.bytes;
  }
  return { victims, atMs };
}
