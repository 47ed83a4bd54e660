/** What this host's devices do: for attempts, for the instances that live there, or for nobody. */
import type { Device } from "../../src/contract/channel.ts";
import { kindOf } from "../../src/contract/usage.ts";
import type { RunMeter } from "../runtime/runner-options.ts";
import type { Clock } from "../scheduling/clock.ts";
import { AttemptMeter } from "./attempt-meter.ts";
import { DeviceLedger } from "./device-ledger.ts";
import { InstanceMeter } from "./instance-meter.ts";
import { nowUs } from "./ledger-clock.ts";

export type Meter = {
  readonly ledger: DeviceLedger;
  readonly attempts: AttemptMeter;
  readonly instances: InstanceMeter;
  /** What runners tell. */
  readonly runs: RunMeter;
  /** What attempts had of devices so far, in microseconds. */
  busyUs(): number;
  /** For how long it has counted, in milliseconds. */
  countedMs(): number;
  /** These are the host's devices now. */
  devices(devices: readonly Device[]): void;
};

export function createMeter(clock: Clock): Meter {
  const sinceUs = nowUs(clock);
  const ledger = new DeviceLedger();
  const kinds = new Map<string, string>();
  const kindOfDevice = (id: string): string => kinds.get(id) ?? "cpu";
  const instances = new InstanceMeter(ledger, clock, kindOfDevice);
  const attempts = new AttemptMeter(ledger, clock, kindOfDevice);
  return {
    ledger,
    attempts,
    instances,
    runs: {
      begin: (token, devices, cost) => attempts.begin(token, devices, cost),
      off: (token) => attempts.off(token),
      lives: ({ name, model, devices }, phase) => {
        const { owner, name: modelName, version } = model;
        instances.lives({ name, model: { owner, name: modelName, version }, devices }, phase);
      },
    },
    busyUs() {
      const totals = [...ledger.totals(nowUs(clock)).values()];
      return totals.reduce((sum, { busyUs }) => sum + busyUs, 0);
    },
    countedMs: () => Math.round((nowUs(clock) - sinceUs) / 1000),
    devices(devices) {
      for (const device of devices) kinds.set(device.id, kindOf(device));
      instances.here(devices.map(({ id }) => id));
    },
  };
}
