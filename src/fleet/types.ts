/** What the rest of the edge asks of a pool session. */
import * as z from "zod";
import type { ClaimRef } from "../contract/channel.ts";
import type { RoomReport } from "../lane/types.ts";

/**
 * Whether the session still holds its lease, and for how long it does if nothing more is heard of it; `device`: the
 * kind of its first device, where that is known.
 */
export type Lease = { alive: boolean; remainingMs: number; device?: string };

/** Who a pool token is and what it may touch; the tenant behind a prediction is never told. */
export const PoolIdentitySchema = z.object({
  poolTokenId: z.string(),
  lanes: z.array(z.string()),
  mayRegisterModels: z.boolean(),
  /** The owners whose models it may register. */
  owners: z.array(z.string()).default(["local"]),
  /** The rented machine that its token is bound to. */
  machine: z.string().optional(),
  /** Whether other pools of these owners run environments that it built. */
  mayStoreEnvironments: z.boolean().default(false),
});
export type PoolIdentity = z.infer<typeof PoolIdentitySchema>;

/** Where a pool parks events in Redis: how its keys begin, and what stands at its `probe` key. */
export type ParkedAt = { prefix: string; probe: string };

/** What a session remembers, in one row. */
export type Known = {
  session: string;
  identity: PoolIdentity;
  lanes: string[];
  /** When the pool was last heard by other ways than a ping. */
  seenAt: number;
  /** Whether a control channel was open when this was stored. */
  connected: boolean;
  /** Its pool said that it drains. */
  isLeaving?: boolean;
  /** What its pool understands beyond its protocol. */
  hears?: string[];
  /** The kind of its first device. */
  device?: string;
  /** Where its pool parks events in Redis. */
  kv?: ParkedAt;
  /** The scaler doesn't know yet that it has come, with so many devices. */
  untoldDevices?: number | undefined;
  /** Since when the pool tells what its devices do, by the edge's clock. */
  meteredFromMs?: number;
  /** Claims to stop that the pool may not have heard of. */
  stops?: ClaimRef[];
};

export const nobody: PoolIdentity = {
  poolTokenId: "",
  lanes: [],
  mayRegisterModels: false,
  owners: [],
  mayStoreEnvironments: false,
};

/** A lane as sessions see it; the platform's own stub type walks through every type of the signatures. */
export type RemoteLane = {
  tell(lane: string, report: RoomReport): Promise<void>;
  gone(lane: string, session: string): Promise<void>;
};
