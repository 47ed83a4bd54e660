/**
 * Ray Serve's autoscaler (docs.ray.io, "Ray Serve Autoscaling"): mean of ongoing requests over 30 s over `target` a
 * replica (2), up after 30 s, down after 600 s; from zero at once.
 */
import type { Fleet } from "../../../../src/scaling/policy.ts";
import { Rule, inSystem, there } from "./rule.ts";
import { Delays, WindowMean } from "./window.ts";

export class RayServe extends Rule {
  readonly #target: number;
  readonly #mean: WindowMean;
  readonly #delays: Delays;

  constructor(target: number, lookBackS: number, upS: number, downS: number) {
    super();
    this.#target = target;
    this.#mean = new WindowMean(lookBackS);
    this.#delays = new Delays(upS, downS);
  }

  override machines(fleet: Fleet): number {
    const wanted = Math.ceil(this.#mean.add(fleet.nowS, inSystem(fleet)) / this.#target - 1e-9);
    const machines = there(fleet);
    if (machines === 0) return inSystem(fleet) > 0 ? Math.max(1, wanted) : 0;
    return this.#delays.apply(fleet.nowS, wanted, machines);
  }
}
