/**
 * What the pool says of itself when its channel opens, and again when a model's schema is known, or models come
 * and go.
 */
import { OLDEST_PROTOCOL, PROTOCOL } from "../src/contract/channel.ts";
import type { PoolMessage } from "../src/contract/channel.ts";
import type { EventCarrier } from "./delivery/carrier.ts";
import type { Meter } from "./metering/meter.ts";
import type { DeviceWatch } from "./runtime/devices/device-watch.ts";
import type { Isolation } from "./runtime/isolation/types.ts";
import type { Model } from "./runtime/models/model.ts";
import type { Clock } from "./scheduling/clock.ts";
import type { StateDir } from "./state-dir.ts";

const POOL_VERSION = "0.1.0";
const TOGETHER_MS = 20;
/** What it understands beyond its protocol. */
const HEARS = ["configurations", "leave", "models"];

export type HelloOptions = {
  state: StateDir;
  devices: DeviceWatch;
  isolation: Isolation;
  meter: Pick<Meter, "countedMs">;
};
/** What the pool offers now. */
export type Offer = { lanes: string[]; models: readonly Model[] };

/** `previous`: the session of this pool's life before; null when there was none. */
export function helloOf(
  session: string,
  previous: string | null,
  { state, devices, isolation, meter }: HelloOptions,
  { lanes, models }: Offer,
  carrier: EventCarrier,
): PoolMessage {
  return {
    type: "hello",
    protocol: PROTOCOL,
    oldestProtocol: OLDEST_PROTOCOL,
    hears: HEARS,
    session,
    ...(previous === null ? {} : { previous }),
    pool: state.name,
    version: POOL_VERSION,
    lanes,
    devices: devices.devices,
    meteredMs: meter.countedMs(),
    isolation: isolation.kind,
    models: models.map(({ manifest, awaitsSetUp }) =>
      awaitsSetUp === true ? { ...manifest, schema: null } : manifest,
    ),
    ...carrier.hello,
  };
}

/** Calls of the answer that come together are one, a moment later. */
export function soonOnce(clock: Clock, run: () => void): () => void {
  let isDue = false;
  return () => {
    if (isDue) return;
    isDue = true;
    clock.after(TOGETHER_MS, () => {
      isDue = false;
      run();
    });
  };
}
