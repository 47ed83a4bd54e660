/** The scaler as its callers see it. */
import type { SyncReply, SyncRequest } from "../../contract/provider.ts";
import type { ScalingSettings } from "../../contract/scaling.ts";
import type { Env } from "../../env.ts";
import { objectNamed } from "../../object-calls.ts";
import type { LastRents } from "./last-rents.ts";
import type { Past } from "./past.ts";
import type { ScalingStatus } from "./status.ts";

const NAME = "scaler";
/** Names the provider whose service listens; set by the edge alone. */
export const PROVIDER_HEADER = "edgeplane-provider";

export type RemoteScaler = {
  sync(request: SyncRequest, edgeUrl: string): Promise<SyncReply | string | null>;
  fetch(request: Request): Promise<Response>;
  status(): Promise<ScalingStatus>;
  past(draft: ScalingSettings | null): Promise<Past>;
  forget(machine: string): Promise<true | string | null>;
  lastRents(): Promise<LastRents | null>;
  changed(): Promise<void>;
};

export function scalerObject(env: Pick<Env, "SCALER">): RemoteScaler {
  const stub: unknown = objectNamed(env.SCALER, NAME);
  return stub as RemoteScaler;
}
