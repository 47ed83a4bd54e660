/**
 * Baseten's autoscaler (docs.baseten.co, "Autoscaling"): mean concurrency over 60 s over 70 % of a replica's target; up
 * at once, down after 900 s, by half of what is too much at a time.
 */
import type { Fleet } from "../../../../src/scaling/policy.ts";
import { Rule, inSystem, there } from "./rule.ts";
import { Delays, WindowMean } from "./window.ts";

export class Baseten extends Rule {
  readonly #target: number;
  readonly #mean: WindowMean;
  readonly #delays: Delays;

  constructor(target: number, windowS: number, downS: number) {
    super();
    this.#target = target;
    this.#mean = new WindowMean(windowS);
    this.#delays = new Delays(0, downS);
  }

  override machines(fleet: Fleet): number {
    const wanted = Math.ceil(this.#mean.add(fleet.nowS, inSystem(fleet)) / this.#target - 1e-9);
    const machines = there(fleet);
    if (machines === 0) return inSystem(fleet) > 0 ? Math.max(1, wanted) : 0;
    const next = this.#delays.apply(fleet.nowS, wanted, machines);
    return next < machines ? Math.max(wanted, Math.floor((machines + wanted) / 2)) : next;
  }
}
