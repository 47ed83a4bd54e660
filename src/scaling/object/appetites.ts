/**
 * The appetites of all versions that were heard of lately, at most so many; and what their policies have learned, which
 * outlives the object: a row a version, written at most every ten minutes and before the object sleeps, where it
 * changed.
 */
import { Appetite, inSystem } from "./appetite.ts";
import { keyOf } from "./lanes.ts";
import { OVERALL_MAX_VERSIONS } from "./limits.ts";
import type { Memory } from "../memory.ts";
import type { ScalerStore } from "./rows.ts";

const SAVE_EVERY_MS = 600_000;
/** What is due, and can't be rented, is tried again after so long. */
const PREWARM_AGAIN_S = 600;

type Ref = { model: string; version: string };

export class Appetites {
  readonly #store: ScalerStore;
  readonly #byKey = new Map<string, Appetite>();
  readonly #savedAtMs = new Map<string, number>();

  /** Those that want machines before anything comes are there from the start. */
  constructor(store: ScalerStore, nowS: number) {
    this.#store = store;
    for (const key of store.prewarming()) {
      const memory = store.memory(key);
      const [model = "", version = ""] = key.split(" ");
      if (memory !== null) this.#byKey.set(key, Appetite.recall({ model, version }, memory, nowS));
    }
  }

  get(key: string): Appetite | undefined {
    return this.#byKey.get(key);
  }

  values(): Iterable<Appetite> {
    return this.#byKey.values();
  }

  entries(): [string, Appetite][] {
    return [...this.#byKey];
  }

  /** The version's, as it was stored or a new one; null: there are too many that something waits for. */
  open(ref: Ref, nowS: number, fresh: () => Appetite): Appetite | null {
    const key = keyOf(ref);
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    if (this.#byKey.size >= OVERALL_MAX_VERSIONS && !this.#forgetOne(nowS * 1000)) return null;
    const appetite = this.#recalled(key, ref, nowS) ?? fresh();
    this.#byKey.set(key, appetite);
    return appetite;
  }

  #recalled(key: string, ref: Ref, nowS: number): Appetite | null {
    const stored = this.#store.memory(key);
    if (stored !== null) return Appetite.recall(ref, stored, nowS);
    const before = this.#memoryBefore(ref);
    return before === null ? null : Appetite.recall(ref, before, nowS, "another version");
  }

  /** So many came to a version: its model's other versions may have lost them. */
  arrived({ model, version }: Ref, nowS: number, count: number): void {
    for (const one of this.#byKey.values())
      if (one.model === model && one.version !== version) one.hearElsewhere(nowS, count);
  }

  /** What is known of the version of the model that was active last: a new one is likely to be asked for as it was. */
  #memoryBefore({ model }: Ref): Memory | null {
    const own = [...this.#byKey.values()].filter((one) => one.model === model && one.activeAtS > -Infinity);
    const [latest] = own.toSorted((a, b) => b.activeAtS - a.activeAtS);
    return latest?.memory() ?? this.#store.memoryOfModel(model);
  }

  /**
   * In how many seconds a machine must be rented before anything comes; null: for nothing. `may`: of a version's key.
   */
  prewarmInS(nowS: number, may: (key: string) => boolean): number | null {
    const dueS = [...this.#byKey]
      .filter(([key, { prewarms }]) => prewarms && may(key))
      .map(([, appetite]) => appetite.wakeAtS(nowS) - nowS);
    return dueS.length === 0 ? null : Math.max(PREWARM_AGAIN_S, Math.min(...dueS));
  }

  /** Stores what was learned since it was stored last. `isLast`: the object may sleep now. */
  save(nowMs: number, isLast: () => boolean): void {
    const changed = [...this.#byKey].filter(([, { hasLearned }]) => hasLearned);
    if (changed.length === 0) return;
    const isNow = isLast();
    for (const [key, appetite] of changed) {
      const savedAtMs = this.#savedAtMs.get(key) ?? nowMs;
      if (!this.#savedAtMs.has(key)) this.#savedAtMs.set(key, nowMs);
      if (!isNow && Math.abs(nowMs - savedAtMs) < SAVE_EVERY_MS) continue;
      this.#save(key, appetite, nowMs);
    }
  }

  #save(key: string, appetite: Appetite, nowMs: number): void {
    this.#savedAtMs.set(key, nowMs);
    this.#store.saveMemory(key, appetite.remember(), { atMs: Math.round(nowMs), prewarms: appetite.prewarms });
  }

  /** The one that was active longest ago, of those that nothing waits for. */
  #forgetOne(nowMs: number): boolean {
    const idle = [...this.#byKey].filter(([, { demand }]) => inSystem(demand) === 0);
    const [oldest] = idle.toSorted(([, a], [, b]) => a.activeAtS - b.activeAtS);
    if (oldest === undefined) return false;
    const [key, appetite] = oldest;
    if (appetite.hasLearned) this.#save(key, appetite, nowMs);
    this.#byKey.delete(key);
    this.#savedAtMs.delete(key);
    return true;
  }
}
