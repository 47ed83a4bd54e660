/**
 * SkyServe's request-rate autoscaler (docs.skypilot.co, "Autoscaling"): ceil(qps / target) over 60 s, looked at every
 * 20 s; up after 300 s, down after 1,200 s; from zero at once.
 */
import type { Fleet } from "../../../../src/scaling/policy.ts";
import { Rule, inSystem, there } from "./rule.ts";
import { Delays } from "./window.ts";

const WINDOW_S = 60;

export class SkyServe extends Rule {
  readonly #targetQps: number;
  readonly #delays: Delays;
  #arrivals: number[] = [];

  constructor(targetQps: number, upS: number, downS: number) {
    super();
    this.#targetQps = targetQps;
    this.#delays = new Delays(upS, downS);
  }

  override arrived(atS: number): void {
    this.#arrivals.push(atS);
  }

  override machines(fleet: Fleet): number {
    const { nowS } = fleet;
    const first = this.#arrivals.findIndex((atS) => atS > nowS - WINDOW_S);
    this.#arrivals = first === -1 ? [] : this.#arrivals.slice(first);
    const wanted = Math.ceil(this.#arrivals.length / WINDOW_S / this.#targetQps);
    const machines = there(fleet);
    const atLeast = inSystem(fleet) > 0 ? 1 : 0;
    if (machines === 0) return Math.max(atLeast, atLeast * wanted);
    return this.#delays.apply(nowS, Math.max(atLeast, wanted), machines);
  }
}
