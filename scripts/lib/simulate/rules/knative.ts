/**
 * Knative's pod autoscaler (knative.dev, "Autoscaling"): mean concurrency over 60 s, or over 6 s once that asks for
 * twice what is there; while it panics it never shrinks. `target`: requests a pod, 70 % of its slots. Zero after 30 s
 * of grace.
 */
import type { Fleet } from "../../../../src/scaling/policy.ts";
import { Rule, inSystem, there } from "./rule.ts";
import { WindowMean } from "./window.ts";

const PANIC_SHARE = 0.1;
const PANIC_AT = 2;
const MAX_UP = 1000;
const MAX_DOWN = 2;

export class Knative extends Rule {
  readonly #target: number;
  readonly #stableS: number;
  readonly #graceS: number;
  readonly #stable: WindowMean;
  readonly #panic: WindowMean;
  #panicsUntilS = -Infinity;
  #highest = 0;
  #zeroSinceS: number | null = null;

  constructor(target: number, stableS: number, graceS: number) {
    super();
    this.#target = target;
    this.#stableS = stableS;
    this.#graceS = graceS;
    this.#stable = new WindowMean(stableS);
    this.#panic = new WindowMean(stableS * PANIC_SHARE);
  }

  override machines(fleet: Fleet): number {
    const { nowS, ready } = fleet;
    const stable = Math.ceil(this.#stable.add(nowS, inSystem(fleet)) / this.#target - 1e-9);
    const panic = Math.ceil(this.#panic.add(nowS, inSystem(fleet)) / this.#target - 1e-9);
    const base = Math.max(1, ready);
    const isOver = panic / base >= PANIC_AT;
    if (isOver) this.#panicsUntilS = nowS + this.#stableS;
    const isPanicking = nowS < this.#panicsUntilS;
    this.#highest = isPanicking ? Math.max(this.#highest, panic, stable) : 0;
    const wish = isPanicking ? this.#highest : stable;
    const wanted = Math.min(Math.max(wish, Math.floor(base / MAX_DOWN)), Math.ceil(base * MAX_UP));
    if (wish > 0 || inSystem(fleet) > 0) {
      this.#zeroSinceS = null;
      return Math.max(1, wanted);
    }
    this.#zeroSinceS ??= nowS;
    return nowS - this.#zeroSinceS >= this.#graceS ? 0 : Math.max(Math.min(1, there(fleet)), wanted);
  }
}
