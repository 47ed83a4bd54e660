/**
 * KEDA's Kafka scaler with the HorizontalPodAutoscaler that it drives (keda.sh, "Apache Kafka"; kubernetes.io,
 * "Horizontal Pod Autoscaling"): lag threshold 10, poll 30 s, cool-down 300 s to zero; the HPA looks every 15 s, at
 * most doubles or adds 4 in 15 s, leaves 10 % alone, and goes by the highest wish of the last 300 s when it shrinks.
 */
import type { Fleet } from "../../../../src/scaling/policy.ts";
import { Rule, inSystem, there } from "./rule.ts";

const TOLERANCE = 0.1;
const STEP = 4;

export class Keda extends Rule {
  readonly #lagThreshold: number;
  readonly #pollS: number;
  readonly #cooldownS: number;
  readonly #stabilizationS: number;
  #polledAtS = -Infinity;
  #lag = 0;
  #activeAtS = -Infinity;
  #wishes: { atS: number; wish: number }[] = [];

  constructor(lagThreshold: number, pollS: number, cooldownS: number, stabilizationS: number) {
    super();
    this.#lagThreshold = lagThreshold;
    this.#pollS = pollS;
    this.#cooldownS = cooldownS;
    this.#stabilizationS = stabilizationS;
  }

  override machines(fleet: Fleet): number {
    const { nowS } = fleet;
    if (nowS - this.#polledAtS >= this.#pollS) {
      this.#polledAtS = nowS;
      this.#lag = inSystem(fleet);
    }
    if (this.#lag > 0) this.#activeAtS = nowS;
    const machines = there(fleet);
    if (machines === 0) return this.#lag > 0 ? 1 : 0;
    if (this.#lag === 0 && nowS - this.#activeAtS >= this.#cooldownS) return 0;
    return this.#hpa(nowS, machines);
  }

  #hpa(nowS: number, machines: number): number {
    const exact = this.#lag / this.#lagThreshold;
    const isWithin = Math.abs(exact / machines - 1) <= TOLERANCE;
    const wish = isWithin ? machines : Math.max(1, Math.ceil(exact));
    this.#wishes = this.#wishes.filter(({ atS }) => atS > nowS - this.#stabilizationS);
    this.#wishes.push({ atS: nowS, wish });
    if (wish > machines) return Math.min(wish, Math.max(machines * 2, machines + STEP));
    return Math.min(machines, Math.max(...this.#wishes.map((said) => said.wish)));
  }
}
