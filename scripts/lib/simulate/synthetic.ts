/**
 * Traces made from a seed, of shapes that the traces of real services here don't have. The same name gives the same
 * trace.
 */
import { seededRandom } from "../../../src/scaling/simulation/random.ts";
import type { ModelRequests, Trace } from "./types.ts";

const PREFIX = "synthetic:";
const HOUR_S = 3600;
const DAY_S = 24 * HOUR_S;

/** Draws from a seed: exponential with a mean, and whole numbers. */
type Draws = { exponential(mean: number): number; uniform(): number };
type Made = { at: number[]; work: number[] };

const makers: Record<string, (draws: Draws) => Record<string, Made>> = {
  /** Image jobs of 28 s over three weeks: a few sessions a day, mostly by day, and long silences. */
  images: (draws) => ({ images: sessions(draws) }),
  /** A language model's bursts over six hours: some seconds to minutes of eight times the load. */
  bursts: (draws) => ({ llm: poisson(draws, { lengthS: 6 * HOUR_S, workS: 4, rate: bursts(draws, 6 * HOUR_S) }) }),
  /** A load that is four times as high from one moment to the next, and stays so. */
  step: (draws) => ({
    model: poisson(draws, { lengthS: 4 * HOUR_S, workS: 8, rate: (atS) => (atS < 7200 ? 0.25 : 1) }),
  }),
  /** Ten minutes of ten times the load. */
  spike: (draws) => ({
    model: poisson(draws, { lengthS: 4 * HOUR_S, workS: 8, rate: (atS) => (atS >= 7200 && atS < 7800 ? 3 : 0.3) }),
  }),
  /** Nine days, each with a night in which next to nothing comes. */
  daily: (draws) => ({
    model: poisson(draws, { lengthS: 9 * DAY_S, workS: 20, rate: (atS) => (isDay(atS) ? 0.02 : 0.0002) }),
  }),
  /** Ten predictions a day, for a month. */
  rare: (draws) => ({ model: poisson(draws, { lengthS: 30 * DAY_S, workS: 10, rate: () => 10 / DAY_S }) }),
  /** Two models, of which one is busy while the other is not. */
  alternating: (draws) => ({
    first: poisson(draws, { lengthS: 6 * HOUR_S, workS: 6, rate: (atS) => (isFirst(atS) ? 0.6 : 0.05) }),
    second: poisson(draws, { lengthS: 6 * HOUR_S, workS: 6, rate: (atS) => (isFirst(atS) ? 0.05 : 0.6) }),
  }),
};

export const syntheticTraces = Object.keys(makers).map((name) => `${PREFIX}${name}`);

/** Null: the name is that of a file. */
export function syntheticTrace(name: string, seed = 1): Trace | null {
  const make = name.startsWith(PREFIX) ? makers[name.slice(PREFIX.length)] : undefined;
  if (make === undefined) return null;
  const uniform = seededRandom(seed);
  const draws = { uniform, exponential: (mean: number) => -Math.log(1 - uniform()) * mean };
  const models = Object.entries(make(draws)).map(([model, { at, work }]): ModelRequests => ({
    model,
    atS: Float64Array.from(at),
    workS: Float64Array.from(work),
  }));
  return { name, models };
}

type Process = { lengthS: number; workS: number; rate(atS: number): number };

/**
 * Poisson arrivals at a rate that changes, with exponential work: thinned from the highest rate (Lewis, Shedler, 1979).
 */
function poisson({ exponential, uniform }: Draws, { lengthS, workS, rate }: Process): Made {
  const made: Made = { at: [], work: [] };
  const everyS = lengthS / 5000;
  const most = Math.max(...Array.from({ length: 5000 }, (_, i) => rate(i * everyS)));
  for (let nowS = exponential(1 / most); nowS < lengthS; nowS += exponential(1 / most)) {
    if (uniform() * most > rate(nowS)) continue;
    made.at.push(nowS);
    made.work.push(exponential(workS) + 0.01);
  }
  return made;
}

function bursts({ exponential }: Draws, lengthS: number): (atS: number) => number {
  const starts: { fromS: number; toS: number }[] = [];
  for (let nowS = exponential(900); nowS < lengthS; nowS += exponential(900))
    starts.push({ fromS: nowS, toS: nowS + exponential(45) });
  return (atS) => (starts.some(({ fromS, toS }) => atS >= fromS && atS < toS) ? 2.4 : 0.3);
}

function sessions({ exponential, uniform }: Draws): Made {
  const made: Made = { at: [], work: [] };
  for (let nowS = exponential(4 * HOUR_S); nowS < 21 * DAY_S; nowS += exponential(4 * HOUR_S)) {
    if (!isDay(nowS) && uniform() < 0.8) continue;
    const jobs = 1 + Math.floor(exponential(12));
    for (let job = 0; job < jobs; job += 1) {
      made.at.push(nowS);
      made.work.push(24 + 8 * uniform());
      nowS += exponential(40);
    }
  }
  return made;
}

function isDay(atS: number): boolean {
  const hour = (atS % DAY_S) / HOUR_S;
  return hour >= 8 && hour < 20;
}

function isFirst(atS: number): boolean {
  return Math.floor(atS / 2700) % 2 === 0;
}
