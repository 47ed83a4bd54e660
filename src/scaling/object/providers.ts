/**
 * The provider services that were heard, and what they last said. In memory: each tells all of it again within a
 * minute.
 */
import type { SyncRequest } from "../../contract/provider.ts";
import type { KnownOffer } from "./offers.ts";

/** One that wasn't heard for so long rents nothing. */
const AWAY_MS = 90_000;
/** One that wasn't heard for so long is forgotten, unless machines of it are left. */
const FORGET_MS = 3_600_000;
const MAX_PROVIDERS = 100;
/** A second service is let in once the first was silent for so long. */
const SILENT_MS = AWAY_MS;

export type Provider = {
  name: string;
  kind: string;
  /** The service that speaks for it; null: one that doesn't name itself, or none. */
  instance: string | null;
  expectedBootS: number | null;
  heardMono: number;
  heardAtMs: number;
  offers: SyncRequest["offers"];
  balance: SyncRequest["balance"] | null;
  problem: string | null;
  orphansReturned: number;
  duplicatesReturned: number;
  /** Machines in its list with our name that the edge doesn't know: the next reconciliation returns them. */
  orphans: number;
};

export class Providers {
  readonly #providers = new Map<string, Provider>();
  /** A look asks for the same offers for each version. */
  #offers: { mono: number; offers: readonly KnownOffer[] } | null = null;

  /**
   * Why this service isn't let in; null: it is. Two that each make what is wanted would rent everything twice. One that
   * started again names the one that it was before.
   */
  refusal({ provider, instance, replaces }: SyncRequest, mono: number): string | null {
    const known = this.#providers.get(provider);
    if (known === undefined || known.instance === null || instance === undefined) return null;
    const silentMs = mono - known.heardMono;
    if (known.instance === instance || known.instance === replaces || silentMs >= SILENT_MS) return null;
    const seconds = (ms: number): number => Math.round(ms / 1000);
    return `Another service speaks for the provider ${provider}, and was heard ${seconds(silentMs)} s ago. Stop one of them, or give this one an entry of its own; it is let in once the other was silent for ${seconds(SILENT_MS)} s.`;
  }

  /** False: there are too many. */
  heard(request: SyncRequest, orphans: number, mono: number, wallMs: number): boolean {
    const { provider: name, kind, offers, balance = null, problem = null } = request;
    if (!this.#providers.has(name) && this.#providers.size >= MAX_PROVIDERS) return false;
    const { orphansReturned, duplicatesReturned } = request;
    this.#offers = null;
    this.#providers.set(name, {
      name,
      kind,
      instance: request.isLeaving === true ? null : (request.instance ?? this.#providers.get(name)?.instance ?? null),
      expectedBootS: request.expectedBootS ?? null,
      // One that leaves is not waited for.
      heardMono: request.isLeaving === true ? mono - AWAY_MS : mono,
      heardAtMs: wallMs,
      offers,
      balance,
      problem,
      orphansReturned,
      duplicatesReturned,
      orphans,
    });
    return true;
  }

  all(): Provider[] {
    return [...this.#providers.values()];
  }

  isHere(name: string, mono: number): boolean {
    const known = this.#providers.get(name);
    return known !== undefined && mono - known.heardMono < AWAY_MS;
  }

  /** Offers of those that are here and have no problem. */
  offers(mono: number): readonly KnownOffer[] {
    if (this.#offers?.mono === mono) return this.#offers.offers;
    const offers = this.all()
      .filter(({ name, problem }) => problem === null && this.isHere(name, mono))
      .flatMap((one) => one.offers.map((offer) => ({ ...offer, provider: one.name })));
    this.#offers = { mono, offers };
    return offers;
  }

  /** What a boot takes, by the word of the provider with the cheapest offer; null: it says nothing. */
  expectedBootMs(hardware: string, mono: number): number | null {
    const offers = this.offers(mono).filter((offer) => offer.hardware === hardware);
    const [cheapest] = offers.toSorted((a, b) => a.pricePerHourNano - b.pricePerHourNano);
    const expectedS = this.#providers.get(cheapest?.provider ?? "")?.expectedBootS ?? null;
    return expectedS === null ? null : expectedS * 1000;
  }

  forget(mono: number, isNeeded: (name: string) => boolean): void {
    for (const { name, heardMono } of this.all())
      if (mono - heardMono > FORGET_MS && !isNeeded(name)) this.#providers.delete(name);
  }
}
