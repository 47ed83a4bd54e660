/**
 * Which class a version belongs to that names none: the cheapest at first. It stays there until another one is cheaper
 * by a fifth, or until no machine of its class is left and none can be rented (nobody offers it, or all who do were
 * sold out or refused lately): two classes that cost about the same would take turns else, and each turn costs boots.
 */
import * as z from "zod";
import type { ScalingSettings } from "../../contract/scaling.ts";
import { settingsOf } from "./class-state.ts";
import { isWorking } from "./machine.ts";
import type { MachineBook } from "./machine-book.ts";
import { fitting, isFree } from "./offers.ts";
import type { KnownOffer } from "./offers.ts";

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

/** What the least of a class costs an hour; Infinity: none of it can be rented now, and nothing of it is there. */
export type PriceOf = (hardware: string) => number;

/** `classes`: those that may run it. */
export function homeOf(classes: readonly string[], home: string | null, priceOf: PriceOf): string | undefined {
  const [cheapest] = classes.toSorted((a, b) => (priceOf(a) < priceOf(b) ? -1 : Number(priceOf(a) > priceOf(b))));
  if (cheapest === undefined || home === null || !classes.includes(home)) return cheapest;
  return priceOf(home) * (1 - CHEAPER_SHARE) <= priceOf(cheapest) ? home : cheapest;
}

/** What the least of a class costs an hour that can be rented now, or is there; Infinity: neither. */
export function leastPrice(
  hardware: string,
  settings: ScalingSettings,
  offered: readonly KnownOffer[],
  book: Pick<MachineBook, "all" | "isAvoided">,
): number {
  const { offers } = fitting(offered, hardware, settingsOf(settings, hardware), settings.currency);
  const there = book.all().filter((one) => one.hardware === hardware && isWorking(one));
  const paid = [...offers.filter((offer) => isFree(offer, book.isAvoided)), ...there];
  return Math.min(...paid.map(({ pricePerHourNano }) => pricePerHourNano));
}
