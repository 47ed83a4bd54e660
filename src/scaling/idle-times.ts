/**
 * How long a model is left alone: the keep-alive times that are worth a try, by the hybrid histogram of M. Shahrad et
 * al.,
 * "Serverless in the Wild" (ATC 2020). A machine that stays for a share of all idle times spares that share its boot.
 */
const SHARES = [0.5, 0.75, 0.9, 0.95, 0.99];

/** In seconds, rising. `atS`: arrivals, sorted. Nothing for less than two. */
export function keepTimesS(atS: Float64Array): number[] {
  if (atS.length < 2) return [];
  const gapsS = atS
    .subarray(1)
    .map((at, i) => at - (atS[i] ?? at))
    .toSorted();
  return SHARES.map((share) => gapsS[Math.min(gapsS.length - 1, Math.floor(share * gapsS.length))] ?? 0);
}
