/**
 * Which class a version belongs to that names none: the cheapest at first. It stays there until another one is cheaper
 * by a fifth, or until nothing of its class is offered and no machine of it is left: two classes that cost about the
 * same would take turns else, and each turn costs boots.
 */
import * as z from "zod";

const CHEAPER_SHARE = 0.2;
const MAX_VERSIONS = 500;

/** By `model version`. */
export const HomesSchema = z.record(z.string(), z.string());
type Stored = z.output<typeof HomesSchema>;

type Store = { read(name: "homes"): Stored | null; write(name: "homes", homes: Stored): void };

export class Homes {
  readonly #store: Store;
  readonly #homes: Map<string, string>;

  constructor(store: Store) {
    this.#store = store;
    this.#homes = new Map(Object.entries(store.read("homes") ?? {}));
  }

  get(key: string): string | null {
    return this.#homes.get(key) ?? null;
  }

  keep(key: string, hardware: string): void {
    if (this.#homes.get(key) === hardware) return;
    this.#homes.delete(key);
    this.#homes.set(key, hardware);
    for (const oldest of this.#homes.keys()) if (this.#homes.size > MAX_VERSIONS) this.#homes.delete(oldest);
    this.#store.write("homes", Object.fromEntries(this.#homes));
  }
}

/** What the least of a class costs an hour; Infinity: it isn't offered, and nothing of it is there. */
export type PriceOf = (hardware: string) => number;

/** `classes`: those that may run it, the cheapest first. */
export function homeOf(classes: readonly string[], home: string | null, priceOf: PriceOf): string | undefined {
  const [cheapest] = classes;
  if (cheapest === undefined || home === null || !classes.includes(home)) return cheapest;
  return priceOf(home) * (1 - CHEAPER_SHARE) <= priceOf(cheapest) ? home : cheapest;
}
