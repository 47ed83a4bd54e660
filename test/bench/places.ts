/**
 * How true places and ETAs are that were told at acceptance: simulated pools on the real lane core, in simulated time,
 * with no later arrivals. A position may be off by 2 or by a tenth of the starts that came first; ETAs count for waits
 * over 2 s.
 *
 *     node test/bench/places.ts
 */
import { judgePlaces, placeCases, playPlaces } from "../unit/lane-places.ts";
import { offerHelp } from "./lib/help.ts";
import { judge, printJudged } from "./lib/limits.ts";
import { machine, versions } from "./lib/machine.ts";

offerHelp(import.meta.url);

console.log(`machine: ${machine()}`);
console.log(`versions: ${versions([])}`);
const rows = placeCases.map((one) => {
  const told = playPlaces(one);
  const { inBounds, worst, etaError } = judgePlaces(told);
  return [
    one.name,
    String(told.length),
    `${(100 * inBounds).toFixed(1)} %`,
    judge(100 * inBounds, { must: 100, isFloor: true, unit: " %" }),
    `${worst.toFixed(2)}×`,
    `${(100 * etaError).toFixed(1)} %`,
    judge(100 * etaError, { must: 30, unit: " %" }),
  ];
});
const isMet = printJudged(
  ["", "told", "positions in bounds", "must", "worst, of its bound", "ETA's median error", "must"],
  rows,
);
process.exitCode = isMet ? 0 : 1;
