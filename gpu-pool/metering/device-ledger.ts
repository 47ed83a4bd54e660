/**
 * Who has a host's devices. At every instant the time of a device goes to the attempts that run on it, shared by their
 * costs; while none runs, to the instances that live on it, in equal parts; while none does, to nobody. Everything is
 * counted in whole microseconds, so that the parts of a device add up to its time. It knows no clock: each call says
 * what time it is.
 */
import { divide } from "./divide.ts";
import type { Holder } from "./divide.ts";

/** Costs beyond these count as these: sums of them stay exact enough. */
const LEAST_COST = 1e-6;
const MOST_COST = 1e12;

/** What holds devices: an attempt, or a phase of an instance. It has a part on each. */
export type Holding = { readonly parts: ReadonlyMap<string, Holder> };
export type Attempt = Holding;
export type Residence = Holding;

/** What a device did so far, in microseconds: their sum is its time. */
export type DeviceTotals = { busyUs: number; residentUs: number; unusedUs: number };

/** Who shares a device, in one way. */
class Sharers {
  readonly #holders = new Set<Holder>();
  /** What those who left were owed: the others', at the next division. */
  #leftUs = 0;

  get size(): number {
    return this.#holders.size;
  }

  add(holder: Holder): void {
    this.#holders.add(holder);
  }

  leave(holder: Holder): void {
    if (!this.#holders.delete(holder)) return;
    this.#leftUs = this.#holders.size === 0 ? 0 : this.#leftUs + holder.owedUs;
    holder.owedUs = 0;
  }

  divide(us: number): void {
    divide(us, [...this.#holders], this.#leftUs);
    this.#leftUs = 0;
  }
}

class Device {
  readonly running = new Sharers();
  readonly residents = new Sharers();
  readonly totals: DeviceTotals = { busyUs: 0, residentUs: 0, unusedUs: 0 };
  #sinceUs: number;

  constructor(nowUs: number) {
    this.#sinceUs = nowUs;
  }

  advance(nowUs: number): void {
    const us = nowUs - this.#sinceUs;
    if (us <= 0) return;
    this.#sinceUs = nowUs;
    if (this.running.size > 0) {
      this.totals.busyUs += us;
      this.running.divide(us);
    } else if (this.residents.size > 0) {
      this.totals.residentUs += us;
      this.residents.divide(us);
    } else this.totals.unusedUs += us;
  }
}

export class DeviceLedger {
  readonly #devices = new Map<string, Device>();

  /** These devices are here, and no others are counted as unused. */
  here(ids: readonly string[], nowUs: number): void {
    for (const [id, device] of this.#devices) {
      device.advance(nowUs);
      if (!ids.includes(id) && device.running.size + device.residents.size === 0) this.#devices.delete(id);
    }
    for (const id of ids) this.#device(id, nowUs);
  }

  /** An attempt runs on these devices from now on. */
  begin(ids: readonly string[], cost: number, nowUs: number): Attempt {
    return this.#hold("running", ids, Math.min(Math.max(cost, LEAST_COST), MOST_COST), nowUs);
  }

  /** It does no longer; what it had of them, in microseconds. */
  end(attempt: Attempt, nowUs: number): number {
    return this.#release("running", attempt, nowUs);
  }

  /** An instance lives on these devices, in some phase, from now on. */
  reside(ids: readonly string[], nowUs: number): Residence {
    return this.#hold("residents", ids, 1, nowUs);
  }

  leave(residence: Residence, nowUs: number): number {
    return this.#release("residents", residence, nowUs);
  }

  /** What a holding has had so far. */
  of(holding: Holding, nowUs: number): number {
    let us = 0;
    for (const [id, part] of holding.parts) {
      this.#devices.get(id)?.advance(nowUs);
      us += part.us;
    }
    return us;
  }

  totals(nowUs: number): Map<string, DeviceTotals> {
    for (const device of this.#devices.values()) device.advance(nowUs);
    return new Map([...this.#devices].map(([id, { totals }]) => [id, { ...totals }]));
  }

  #device(id: string, nowUs: number): Device {
    const device = this.#devices.get(id) ?? new Device(nowUs);
    this.#devices.set(id, device);
    return device;
  }

  #hold(kind: "running" | "residents", ids: readonly string[], weight: number, nowUs: number): Holding {
    const parts = new Map<string, Holder>();
    for (const id of ids) {
      const device = this.#device(id, nowUs);
      device.advance(nowUs);
      const part: Holder = { weight, us: 0, owedUs: 0 };
      device[kind].add(part);
      parts.set(id, part);
    }
    return { parts };
  }

  #release(kind: "running" | "residents", holding: Holding, nowUs: number): number {
    let us = 0;
    for (const [id, part] of holding.parts) {
      const device = this.#devices.get(id);
      device?.advance(nowUs);
      device?.[kind].leave(part);
      us += part.us;
    }
    return us;
  }
}
