/**
 * Who has what of each device's memory while a plan is made: what is free, what comes free when those that leave are
 * gone, and how many live there. Pure.
 */
import type { Host, PlacedInstance, PlacementDevice } from "./types.ts";

export type Account = {
  device: PlacementDevice;
  /** What the pool may use in all; Infinity where that isn't known. */
  capacity: number;
  free: number;
  /** What those hold that leave, and nobody has reserved. */
  coming: number;
  /** Instances that stay or come. */
  residents: number;
};

export class Ledger {
  readonly #accounts = new Map<string, Account>();

  constructor({ devices, instances }: Host) {
    for (const device of devices) {
      const capacity = device.memoryBytes === null ? Infinity : Math.max(0, device.memoryBytes - device.foreignBytes);
      this.#accounts.set(device.id, { device, capacity, free: capacity, coming: 0, residents: 0 });
    }
    for (const instance of instances) {
      for (const account of this.of(instance)) {
        account.free -= instance.bytes;
        if (instance.state === "leaving") account.coming += instance.bytes;
        else account.residents += 1;
      }
    }
  }

  all(): Account[] {
    return [...this.#accounts.values()];
  }

  of({ devices }: { devices: readonly string[] }): Account[] {
    return devices.flatMap((id) => this.#accounts.get(id) ?? []);
  }

  /** A new instance takes this much, or is kept this much for when it can. */
  take(devices: readonly string[], bytes: number): void {
    for (const account of this.of({ devices })) {
      account.free -= bytes;
      account.residents += 1;
    }
  }

  /** One was chosen to leave. */
  evict(instance: PlacedInstance): void {
    for (const account of this.of(instance)) {
      account.coming += instance.bytes;
      account.residents -= 1;
    }
  }
}
