/**
 * What the instances of this pool have of its devices while no attempt runs there, and what nobody has. Time is told in
 * intervals: one ends when its instance's phase does, and when `close` is called.
 */
import type { ModelRef } from "../../src/contract/prediction.ts";
import type { intervalPhases } from "../../src/contract/usage.ts";
import type { Clock } from "../scheduling/clock.ts";
import type { DeviceLedger, Residence } from "./device-ledger.ts";
import { nowUs } from "./ledger-clock.ts";

export type Phase = Exclude<(typeof intervalPhases)[number], "boot">;
/** `toMs`: by the pool's monotonic clock. */
export type Interval = {
  instance: string;
  model: ModelRef | null;
  device: string;
  phase: Phase;
  fromMs: number;
  toMs: number;
  gpuUs: number;
};

/** What lives on devices: its name tells it from all others. */
export type Resident = { name: string; model: ModelRef; devices: readonly string[] };
type Life = { resident: Resident; phase: Phase; residence: Residence; fromUs: number; toldUs: number };

export class InstanceMeter {
  readonly #ledger: DeviceLedger;
  readonly #clock: Clock;
  readonly #kindOf: (device: string) => string;
  readonly #lives = new Map<string, Life>();
  /** Of devices that are here: since when their unused time is not told, and how much of it was. */
  readonly #here = new Map<string, { fromUs: number; toldUs: number }>();
  #over: Interval[] = [];
  #isDraining = false;

  constructor(ledger: DeviceLedger, clock: Clock, kindOf: (device: string) => string) {
    this.#ledger = ledger;
    this.#clock = clock;
    this.#kindOf = kindOf;
  }

  /** These devices are here now. */
  here(ids: readonly string[]): void {
    const now = nowUs(this.#clock);
    this.#tellUnused(now);
    this.#ledger.here(ids, now);
    const totals = this.#ledger.totals(now);
    for (const id of this.#here.keys()) if (!ids.includes(id)) this.#here.delete(id);
    for (const id of ids) {
      if (!this.#here.has(id)) this.#here.set(id, { fromUs: now, toldUs: totals.get(id)?.unusedUs ?? 0 });
    }
  }

  /** What an instance does now; null: it is gone from its devices. */
  lives(resident: Resident, phase: "setup" | "idle" | "drain" | null): void {
    const now = nowUs(this.#clock);
    const known = this.#lives.get(resident.name);
    const next = phase !== null && this.#isDraining ? "drain" : phase;
    const isSame = known?.phase === next && known.resident.devices.join() === resident.devices.join();
    if ((known === undefined && next === null) || isSame) return;
    if (known !== undefined) this.#end(known, now);
    if (next === null) this.#lives.delete(resident.name);
    else this.#begin(resident, next, now);
  }

  /** The pool takes nothing more. */
  drain(): void {
    this.#isDraining = true;
    for (const { resident } of [...this.#lives.values()]) this.lives(resident, "drain");
  }

  /** All that was not told, up to now. */
  close(): Interval[] {
    const now = nowUs(this.#clock);
    for (const life of this.#lives.values()) this.#tell(life, this.#ledger.of(life.residence, now), now);
    this.#tellUnused(now);
    return this.#over.splice(0);
  }

  #begin(resident: Resident, phase: Phase, now: number): void {
    const residence = this.#ledger.reside(resident.devices, now);
    this.#lives.set(resident.name, { resident, phase, residence, fromUs: now, toldUs: 0 });
  }

  #end(life: Life, now: number): void {
    this.#tell(life, this.#ledger.leave(life.residence, now), now);
  }

  #tell(life: Life, hadUs: number, now: number): void {
    const { resident, phase, fromUs, toldUs } = life;
    const gpuUs = hadUs - toldUs;
    const device = this.#kindOf(resident.devices[0] ?? "cpu");
    life.fromUs = now;
    life.toldUs = hadUs;
    if (gpuUs <= 0) return;
    const { name: instance, model } = resident;
    this.#over.push({ instance, model, device, phase, fromMs: fromUs / 1000, toMs: now / 1000, gpuUs });
  }

  #tellUnused(now: number): void {
    const totals = this.#ledger.totals(now);
    for (const [id, here] of this.#here) {
      const { unusedUs = here.toldUs } = totals.get(id) ?? {};
      const gpuUs = unusedUs - here.toldUs;
      const fromMs = here.fromUs / 1000;
      here.fromUs = now;
      here.toldUs = unusedUs;
      if (gpuUs <= 0) continue;
      const device = this.#kindOf(id);
      this.#over.push({ instance: id, model: null, device, phase: "unused", fromMs, toMs: now / 1000, gpuUs });
    }
  }
}
