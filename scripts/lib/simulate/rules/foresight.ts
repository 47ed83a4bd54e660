/**
 * No rule but a plan that knows the future: at each time as many machines as what arrives then keeps busy, over a
 * window and with square roots more, each ordered a boot before. What it beats, a decision can.
 */
import type { Fleet } from "../../../../src/scaling/policy.ts";
import type { Requests } from "../../../../src/scaling/simulation/simulate.ts";
import type { Scenario } from "../types.ts";
import { Rule } from "./rule.ts";

const STEP_S = 1;

export class Foresight extends Rule {
  readonly #fromS: number;
  /** Of each second from the first request on. */
  readonly #wanted: Int32Array;

  constructor(requests: Requests, { bootS, slots }: Scenario, windowS: number, deviations: number) {
    super();
    this.#fromS = requests.atS[0] ?? 0;
    const steps = Math.max(1, Math.round(windowS / STEP_S));
    const load = trailingMean(busySlots(requests, this.#fromS, { bootS, windowS }), steps);
    const needed = load.map((slotsBusy) => Math.ceil((slotsBusy + deviations * Math.sqrt(slotsBusy)) / slots - 1e-9));
    this.#wanted = aheadMaximum(needed, Math.ceil(bootS / STEP_S));
  }

  override machines({ nowS, waiting, running }: Fleet): number {
    const planned = this.#wanted[Math.floor((nowS - this.#fromS) / STEP_S)] ?? 0;
    return Math.max(planned, waiting + running > 0 ? 1 : 0);
  }

  override wakeAtS(nowS: number): number {
    const steps = this.#wanted;
    let next = Math.floor((nowS - this.#fromS) / STEP_S) + 1;
    while (next < steps.length && steps[next] === 0) next += 1;
    return next < steps.length ? this.#fromS + next * STEP_S : Infinity;
  }
}

/** If each began as it came, but none before the first machine can have booted. */
function busySlots(
  { atS, workS }: Requests,
  fromS: number,
  { bootS, windowS }: { bootS: number; windowS: number },
): Float64Array {
  const begins = atS.map((at) => Math.max(at, fromS + bootS) - fromS);
  const lengthS = begins.reduce((last, begin, i) => Math.max(last, begin + (workS[i] ?? 0)), 0);
  const busy = new Float64Array(Math.ceil((lengthS + windowS) / STEP_S) + 1);
  begins.forEach((begin, i) => {
    const end = begin + (workS[i] ?? 0);
    for (let step = Math.floor(begin / STEP_S); step * STEP_S < end; step += 1) {
      const within = Math.min(end, (step + 1) * STEP_S) - Math.max(begin, step * STEP_S);
      busy[step] = (busy[step] ?? 0) + within / STEP_S;
    }
  });
  return busy;
}

/** Of a step and those before it, since what waits is done later. */
function trailingMean(values: Float64Array, steps: number): Float64Array {
  let sum = 0;
  return values.map((value, i) => {
    sum += value - (i >= steps ? (values[i - steps] ?? 0) : 0);
    return Math.max(0, sum) / steps;
  });
}

/** Of each step and so many after it, the most. */
function aheadMaximum(values: Float64Array, steps: number): Int32Array {
  const most = new Int32Array(values.length);
  const falling: number[] = [];
  let head = 0;
  for (let i = 0, end = 0; i < values.length; i += 1) {
    for (; end < values.length && end <= i + steps; end += 1) {
      while (falling.length > head && (values[falling.at(-1) ?? 0] ?? 0) <= (values[end] ?? 0)) falling.pop();
      falling.push(end);
    }
    while ((falling[head] ?? 0) < i) head += 1;
    most[i] = values[falling[head] ?? i] ?? 0;
  }
  return most;
}
