/** How many predictions of each model come and end a second, lately: an event counts half after five minutes. */
import { Demand } from "../scheduling/placement/demand.ts";

export type Rates = {
  granted(model: string, nowMs: number): void;
  ended(model: string, nowMs: number): void;
  of(model: string, nowMs: number): { grantedPerSecond: number; endedPerSecond: number };
};

export function createRates(): Rates {
  const models = new Map<string, { granted: Demand; ended: Demand }>();
  const ratesOf = (model: string): { granted: Demand; ended: Demand } => {
    const known = models.get(model) ?? { granted: new Demand(), ended: new Demand() };
    models.set(model, known);
    return known;
  };
  return {
    granted: (model, nowMs) => ratesOf(model).granted.add(nowMs),
    ended: (model, nowMs) => ratesOf(model).ended.add(nowMs),
    of(model, nowMs) {
      const { granted, ended } = ratesOf(model);
      return { grantedPerSecond: granted.rate(nowMs), endedPerSecond: ended.rate(nowMs) };
    },
  };
}
