/** RunPod Serverless's two rules (docs.runpod.io, "Endpoint settings"): queue delay and request count; idle 5 s. */
import type { Fleet } from "../../../../src/scaling/policy.ts";
import { Rule, inSystem, there } from "./rule.ts";

/** A worker leaves when it has had nothing to do for so long. */
class IdleTimeout {
  readonly #idleS: number;
  /** When so many machines last had something to do: `[n]` for n machines. */
  readonly #neededAtS: number[] = [];

  constructor(idleS: number) {
    this.#idleS = idleS;
  }

  /** How many of those that are there stay. */
  staying(nowS: number, needed: number, machines: number): number {
    for (let n = 0; n <= Math.min(needed, machines); n += 1) this.#neededAtS[n] = nowS;
    let stay = machines;
    while (stay > needed && nowS - (this.#neededAtS[stay] ?? -Infinity) >= this.#idleS) stay -= 1;
    return stay;
  }

  rented(nowS: number, machines: number): void {
    for (let n = 0; n <= machines; n += 1) this.#neededAtS[n] = Math.max(this.#neededAtS[n] ?? 0, nowS);
  }
}

export class RunpodQueueDelay extends Rule {
  readonly #delayS: number;
  readonly #slots: number;
  readonly #idle: IdleTimeout;
  #addedAtS = -Infinity;

  constructor(delayS: number, idleS: number, slots: number) {
    super();
    this.#delayS = delayS;
    this.#slots = slots;
    this.#idle = new IdleTimeout(idleS);
  }

  override machines(fleet: Fleet): number {
    const machines = there(fleet);
    const { nowS, waiting, booting, running } = fleet;
    const isLate = fleet.oldestWaitS > this.#delayS || (waiting > 0 && machines === 0);
    const uncovered = waiting - booting * this.#slots;
    if (isLate && uncovered > 0 && nowS - this.#addedAtS >= this.#delayS) {
      this.#addedAtS = nowS;
      const wanted = machines + Math.ceil(uncovered / this.#slots);
      this.#idle.rented(nowS, wanted);
      return wanted;
    }
    if (booting > 0) return machines;
    return this.#idle.staying(nowS, Math.ceil((running + waiting) / this.#slots), machines);
  }
}

export class RunpodRequestCount extends Rule {
  readonly #perWorker: number;
  readonly #slots: number;
  readonly #idle: IdleTimeout;

  constructor(perWorker: number, idleS: number, slots: number) {
    super();
    this.#perWorker = perWorker;
    this.#slots = slots;
    this.#idle = new IdleTimeout(idleS);
  }

  override machines(fleet: Fleet): number {
    const wanted = Math.ceil(inSystem(fleet) / this.#perWorker);
    const machines = there(fleet);
    if (wanted > machines) {
      this.#idle.rented(fleet.nowS, wanted);
      return wanted;
    }
    if (fleet.booting > 0) return machines;
    const busy = Math.max(wanted, Math.ceil(fleet.running / this.#slots));
    return this.#idle.staying(fleet.nowS, busy, machines);
  }
}
