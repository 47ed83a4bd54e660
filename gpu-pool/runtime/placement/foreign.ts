/**
 * What other programs use of each device. Of one that none of the pool's processes is on that is all that is used.
 * While one is, it is never more than before, nor more than is used beside what its processes took when they loaded.
 */
import type { PlaceableInstance } from "./placeable.ts";

export class Foreign {
  readonly #bytes = new Map<string, number>();
  /** What the loads of processes took of each of their devices, as the first look after them showed it. */
  readonly #took = new WeakMap<PlaceableInstance, Map<string, number>>();

  of(device: string): number {
    return this.#bytes.get(device) ?? 0;
  }

  /** A device was looked at. `processes`: those of the pool's that are there. */
  looked(device: string, usedBytes: number, processes: readonly PlaceableInstance[]): void {
    if (processes.length === 0) {
      this.#bytes.set(device, usedBytes);
      return;
    }
    const fresh = processes.filter((one) => this.#took.get(one)?.get(device) === undefined);
    if (!processes.some(({ placement }) => placement === "loading")) {
      const taken = Math.max(0, usedBytes - this.of(device) - this.#takenBy(processes, device));
      for (const one of fresh) this.#note(one, device, taken / fresh.length);
    }
    const most = Math.max(0, usedBytes - this.#takenBy(processes, device));
    this.#bytes.set(device, Math.min(most, this.of(device)));
  }

  /** It died or ended. */
  gone(one: PlaceableInstance): void {
    this.#took.delete(one);
  }

  #takenBy(processes: readonly PlaceableInstance[], device: string): number {
    return processes.reduce((sum, one) => sum + (this.#took.get(one)?.get(device) ?? 0), 0);
  }

  #note(one: PlaceableInstance, device: string, bytes: number): void {
    const took = this.#took.get(one) ?? new Map<string, number>();
    this.#took.set(one, took.set(device, bytes));
  }
}
