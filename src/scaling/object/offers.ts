/** Which offer the next machine is rented by. */
import { nanoOf } from "../../contract/scaling.ts";
import type { HardwareClass } from "../../contract/scaling.ts";
import type { Offer } from "../../contract/provider.ts";
import { nextZone } from "../spot.ts";

/** A zone in which a spot machine was lost is the last choice for so long. */
const AVOID_LOST_S = 1800;

/** An offer of a provider that was heard lately. */
export type KnownOffer = Offer & { provider: string };

export type Taken = { provider: string; offer: string; zone: string | null; isWaiting: boolean };

/** What didn't work out is left alone for a while, by the scaler's own clock. */
export class Avoided {
  readonly #until = new Map<string, number>();

  add(key: string, untilMono: number): void {
    this.#until.set(key, Math.max(untilMono, this.#until.get(key) ?? 0));
  }

  lift(key: string): void {
    this.#until.delete(key);
  }

  has(key: string, nowMono: number): boolean {
    const until = this.#until.get(key);
    if (until === undefined) return false;
    if (until > nowMono) return true;
    this.#until.delete(key);
    return false;
  }
}

export function offerKey({ provider, id }: { provider: string; id: string }): string {
  return `offer ${provider} ${id}`;
}

/** The same while it is sold out. */
export function soldKey({ provider, id }: { provider: string; id: string }): string {
  return `sold ${provider} ${id}`;
}

/** All machines of a class at a provider. */
export function classKey({ provider, hardware }: { provider: string; hardware: string }): string {
  return `class ${provider} ${hardware}`;
}

export function hostKey({ provider, host }: { provider: string; host: string }): string {
  return `host ${provider} ${host}`;
}

/** Offers of the class that its settings take; `why`: what keeps the others out, for the operator. */
export function fitting(
  offers: readonly KnownOffer[],
  hardware: string,
  settings: HardwareClass,
  currency: string,
): { offers: KnownOffer[]; why: string | null } {
  const ofClass = offers.filter((offer) => offer.hardware === hardware);
  if (ofClass.length === 0) return { offers: [], why: "no provider offers this hardware" };
  const left = ofClass.filter((offer) => misfit(offer, settings, currency) === null);
  const [first] = ofClass;
  const why = left.length > 0 || first === undefined ? null : (misfit(first, settings, currency) ?? null);
  return { offers: left, why: why === null ? null : `none of ${ofClass.length} offers does: ${why}` };
}

function misfit(
  offer: KnownOffer,
  { offers: filter, providers, spot }: HardwareClass,
  currency: string,
): string | null {
  const { reliability, driver, down_mbps: downMbps, regions, price_per_hour: price } = filter;
  if (offer.currency !== currency) return `${offer.id} is in ${offer.currency}, and the settings are in ${currency}`;
  if (providers !== undefined && !providers.includes(offer.provider))
    return `${offer.provider} is not among its providers`;
  if (offer.spot && !spot) return `${offer.id} is a spot machine`;
  if (price !== undefined && offer.pricePerHourNano > nanoOf(price))
    return `${offer.id} costs more than ${price} an hour`;
  if (regions !== undefined && !regions.includes(offer.region ?? ""))
    return `${offer.id} is in ${offer.region ?? "no region"}`;
  if (reliability !== undefined && (offer.reliability ?? 0) < reliability)
    return `${offer.id} has a reliability of ${offer.reliability ?? "nobody knows what"}`;
  if (downMbps !== undefined && (offer.downMbps ?? 0) < downMbps) return `${offer.id} has less bandwidth`;
  if (driver !== undefined && isOlder(offer.driver ?? "0", driver))
    return `${offer.id} has the driver ${offer.driver ?? "nobody knows which"}`;
  return null;
}

/** What was refused or failed lately; and how long ago a spot machine was lost in a zone: Infinity: never. */
export type Lately = {
  isAvoided(key: string): boolean;
  lostAgoS(provider: string, zone: string | null): number;
};

/** It is to be had, as far as is known, and did not fail lately. */
export function isFree(offer: KnownOffer, isAvoided: Lately["isAvoided"]): boolean {
  const { provider, host, available } = offer;
  if (available === 0 || [offerKey, soldKey, classKey].some((keyOf) => isAvoided(keyOf(offer)))) return false;
  return host === undefined || !isAvoided(hostKey({ provider, host }));
}

/** The next, in the providers' order and then by price; spot machines over zones. Null: none is left. */
export function choose(
  offers: readonly KnownOffer[],
  isSpot: boolean,
  { providers }: Pick<HardwareClass, "providers">,
  taken: readonly Taken[],
  { isAvoided, lostAgoS }: Lately,
): KnownOffer | null {
  const left = offers.filter((offer) => {
    if (offer.spot !== isSpot || !isFree(offer, isAvoided)) return false;
    const asked = taken.filter(
      ({ provider, offer: id, isWaiting }) => isWaiting && provider === offer.provider && id === offer.id,
    );
    return offer.available === null || offer.available > asked.length;
  });
  const rank = ({ provider }: KnownOffer): number => providers?.indexOf(provider) ?? 0;
  const ordered = left.toSorted(
    (a, b) => rank(a) - rank(b) || a.pricePerHourNano - b.pricePerHourNano || (a.id < b.id ? -1 : 1),
  );
  if (!isSpot) return ordered[0] ?? null;
  const zone = nextZone(zonesOf(ordered, taken, lostAgoS), 0, AVOID_LOST_S);
  return ordered.find((offer) => zoneOf(offer) === zone) ?? null;
}

/** The times of losses count from now on, backwards. */
function zonesOf(ordered: readonly KnownOffer[], taken: readonly Taken[], lostAgoS: Lately["lostAgoS"]) {
  const zones = new Map<string, KnownOffer>();
  for (const offer of ordered) if (!zones.has(zoneOf(offer))) zones.set(zoneOf(offer), offer);
  return [...zones].map(([zone, { provider, zone: its = null, pricePerHourNano: price }]) => ({
    zone,
    price,
    ours: taken.filter((one) => `${one.provider} ${one.zone ?? ""}` === zone).length,
    lostAtS: -lostAgoS(provider, its),
  }));
}

function zoneOf({ provider, zone }: KnownOffer): string {
  return `${provider} ${zone ?? ""}`;
}

function isOlder(version: string, than: string): boolean {
  const [a, b] = [version, than].map((text) => text.split(".").map(Number));
  for (const [index, wanted] of (b ?? []).entries()) {
    const given = a?.[index] ?? 0;
    if (given !== wanted) return !(given > wanted);
  }
  return false;
}
