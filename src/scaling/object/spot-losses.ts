/**
 * How often spot machines are taken away, by provider, offer and zone: a Gamma prior with a mean of 0.1 an hour, and
 * what was seen since. What was seen counts half after a day, so that an offer that lost many is tried again.
 */
import * as z from "zod";
import type { Machine } from "./machine.ts";
import type { KnownOffer } from "./offers.ts";

/** Of the prior: half a loss in five hours. */
const PRIOR_LOSSES = 0.5;
const PRIOR_HOURS = 5;
const HALF_LIFE_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const MAX_PLACES = 500;

/** By `provider offer zone`; as of `atMs`. */
export const LossesSchema = z.record(
  z.string(),
  z.object({ losses: z.number(), hours: z.number(), atMs: z.number(), lostAtMs: z.number().nullable() }),
);
type Stored = z.output<typeof LossesSchema>;
type Seen = Stored[string];

type Store = { read(name: "losses"): Stored | null; write(name: "losses", losses: Stored): void };
type Place = { provider: string; offer: string; zone: string | null };

export class SpotLosses {
  readonly #store: Store;
  readonly #places: Map<string, Seen>;

  constructor(store: Store) {
    this.#store = store;
    this.#places = new Map(Object.entries(store.read("losses") ?? {}));
  }

  /** A spot machine was there for so long. */
  wasThere(machine: Machine, nowMs: number): void {
    if (!machine.isSpot || machine.seenAtMs === null) return;
    this.#add(machine, { losses: 0, hours: Math.max(0, nowMs - machine.seenAtMs) / HOUR_MS }, nowMs);
  }

  /** One was taken away, or will be. */
  lost(machine: Machine, nowMs: number): void {
    if (machine.isSpot) this.#add(machine, { losses: 1, hours: 0 }, nowMs);
  }

  /** Losses an hour that one machine of these offers should expect. */
  perHour(offers: readonly KnownOffer[], nowMs: number): number {
    const seen = offers
      .filter(({ spot }) => spot)
      .map(({ provider, id, zone = null }) => this.#seen({ provider, offer: id, zone }, nowMs));
    const count = Math.max(1, seen.length);
    const losses = seen.reduce((sum, one) => sum + one.losses, 0);
    const hours = seen.reduce((sum, one) => sum + one.hours, 0);
    return (count * PRIOR_LOSSES + losses) / (count * PRIOR_HOURS + hours);
  }

  /** When one was last lost of this provider's zone; null: none was. */
  lostAtMs(provider: string, zone: string | null): number | null {
    const times = [...this.#places].flatMap(([key, { lostAtMs }]) => {
      const [its, , where] = JSON.parse(key) as [string, string, string | null];
      return its === provider && where === zone && lostAtMs !== null ? [lostAtMs] : [];
    });
    return times.length === 0 ? null : Math.max(...times);
  }

  #seen(place: Place, nowMs: number): Seen {
    const known = this.#places.get(keyOf(place));
    if (known === undefined) return { losses: 0, hours: 0, atMs: nowMs, lostAtMs: null };
    const weight = 0.5 ** (Math.max(0, nowMs - known.atMs) / HALF_LIFE_MS);
    return { ...known, losses: known.losses * weight, hours: known.hours * weight, atMs: nowMs };
  }

  #add(place: Place, { losses, hours }: Pick<Seen, "losses" | "hours">, nowMs: number): void {
    const before = this.#seen(place, nowMs);
    const key = keyOf(place);
    this.#places.delete(key);
    this.#places.set(key, {
      ...before,
      losses: before.losses + losses,
      hours: before.hours + hours,
      lostAtMs: losses > 0 ? nowMs : before.lostAtMs,
    });
    for (const oldest of this.#places.keys()) if (this.#places.size > MAX_PLACES) this.#places.delete(oldest);
    this.#store.write("losses", Object.fromEntries(this.#places));
  }
}

function keyOf({ provider, offer, zone }: Place): string {
  return JSON.stringify([provider, offer, zone]);
}
