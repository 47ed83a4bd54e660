/** `node test/bench/places.ts`: how true places and ETAs are, in simulated pools on the real lane core. */
import { judgePlaces, placeCases, playPlaces } from "../unit/lane-places.ts";

for (const one of placeCases) {
  const told = playPlaces(one);
  const { inBounds, worst, etaError } = judgePlaces(told);
  console.log(
    `${one.name.padEnd(26)} ${String(told.length).padStart(4)} told; position within max(2, 10 %): ${(100 * inBounds).toFixed(1)} % (worst ${worst.toFixed(2)} of it); ETA's median error ${(100 * etaError).toFixed(1)} %`,
  );
}
