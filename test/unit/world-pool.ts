/** A pool of the world. */
import type { Grant } from "../../src/contract/claim.ts";
import type { PoolEvent } from "../../src/contract/event.ts";

/** What a pool holds of one claim. `sent` are all events that it ever sent for it: it may repeat any. */
export type Held = { grant: Grant; running: boolean; seq: number; chunks: number; sent: PoolEvent[] };
/** `alive`: it can send. `heard`: its channel works; a pool that is alive and not heard is cut off, or stalls. */
export type Pool = {
  session: string;
  alive: boolean;
  heard: boolean;
  heardAt: number;
  held: Map<string, Held>;
  /** Tokens that it refuses: it was asked about them before it got them. */
  refused: Set<string>;
  /** Ids that it got since its last statement, and those that it let go. */
  seen: string[];
  ended: { id: string; ms: number }[];
  statements: number;
};

/** The one failure that needs no start. */
export function isInputFault(event: PoolEvent): boolean {
  return event.type === "failed" && event.kind === "input";
}
