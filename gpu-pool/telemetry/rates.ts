/** How many predictions of each version come and end a second, lately: an event counts half after five minutes. */
import { Demand } from "../scheduling/placement/demand.ts";

export type Rates = {
  granted(version: string, nowMs: number): void;
  ended(version: string, nowMs: number): void;
  /** Nothing of it is here any more. */
  forget(version: string): void;
  /** How many versions are known. */
  readonly size: number;
  of(version: string, nowMs: number): { grantedPerSecond: number; endedPerSecond: number };
};

export function createRates(): Rates {
  const versions = new Map<string, { granted: Demand; ended: Demand }>();
  const ratesOf = (version: string): { granted: Demand; ended: Demand } => {
    const known = versions.get(version) ?? { granted: new Demand(), ended: new Demand() };
    versions.set(version, known);
    return known;
  };
  return {
    granted: (version, nowMs) => ratesOf(version).granted.add(nowMs),
    ended: (version, nowMs) => ratesOf(version).ended.add(nowMs),
    forget: (version) => void versions.delete(version),
    get size() {
      return versions.size;
    },
    of(version, nowMs) {
      const { granted, ended } = versions.get(version) ?? { granted: new Demand(), ended: new Demand() };
      return { grantedPerSecond: granted.rate(nowMs), endedPerSecond: ended.rate(nowMs) };
    },
  };
}
