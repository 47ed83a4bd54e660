/**
 * Machines that can be lost at any time, and are cheaper (SpotHedge, arXiv 2411.01438): some spares beside those that
 * are needed, spread over zones, and machines on demand for as long as spot machines are missing.
 */

export type SpotMarket = {
  /** Of one machine. */
  lossPerHour: number;
  bootS: number;
  spotPrice: number;
  onDemandPrice: number;
};
export type SpotPlan = { spot: number; onDemand: number };

/** How often more may be lost than there are spares, while replacements boot. */
const MISSED_SHARE = 0.05;
const MAX_SPARES = 20;

/** `readySpot`: spot machines that serve now. Where spares make spot as dear as on demand, all are on demand. */
export function spotPlan(needed: number, readySpot: number, market: SpotMarket): SpotPlan {
  if (needed <= 0) return { spot: 0, onDemand: 0 };
  const spares = sparesFor(needed, market);
  const spotCost = (needed + spares) * market.spotPrice;
  if (spotCost >= needed * market.onDemandPrice) return { spot: 0, onDemand: needed };
  return { spot: needed + spares, onDemand: Math.max(0, needed - readySpot) };
}

/** The fewest that cover all but 5 % of what is lost while a replacement boots. */
export function sparesFor(needed: number, { lossPerHour, bootS }: SpotMarket): number {
  const lost = 1 - Math.exp((-lossPerHour * bootS) / 3600);
  if (lost === 0) return 0;
  let spares = 0;
  while (spares < MAX_SPARES && moreLostThan(spares, needed + spares, lost) > MISSED_SHARE) spares += 1;
  return spares;
}

/** The chance that of `count` machines more than `most` are lost, each with the chance `lost`. */
function moreLostThan(most: number, count: number, lost: number): number {
  let chance = (1 - lost) ** count;
  let within = chance;
  for (let n = 1; n <= most; n += 1) {
    chance *= ((count - n + 1) / n) * (lost / (1 - lost));
    within += chance;
  }
  return 1 - within;
}

/** Where spot machines are offered; `lostAtS`: when one of ours was last lost, or refused, there. */
export type Zone = { zone: string; ours: number; price: number; lostAtS: number | null };

/**
 * The zone for the next: where none was lost lately, then where we have fewest, then the cheapest; null without zones.
 */
export function nextZone(zones: readonly Zone[], nowS: number, avoidS: number): string | null {
  const isAvoided = ({ lostAtS }: Zone): number => (lostAtS !== null && nowS - lostAtS < avoidS ? 1 : 0);
  const best = zones.toSorted(
    (a, b) => isAvoided(a) - isAvoided(b) || a.ours - b.ours || a.price - b.price || (a.zone < b.zone ? -1 : 1),
  );
  return best[0]?.zone ?? null;
}
