/** A policy that hears of nothing: most rules go by what they see. */
import type { Fleet, Policy } from "../../../../src/scaling/policy.ts";

export abstract class Rule implements Policy {
  readonly usesPaidTime: boolean = false;
  arrived(_atS: number): void {}
  started(_atS: number, _waitS: number): void {}
  finished(_atS: number, _workS: number): void {}
  booted(_bootS: number): void {}
  abstract machines(fleet: Fleet): number;

  wakeAtS(_nowS: number): number {
    return Infinity;
  }
}

/** What the published rules call concurrency. */
export function inSystem({ waiting, running }: Fleet): number {
  return waiting + running;
}

export function there({ ready, booting }: Fleet): number {
  return ready + booting;
}
