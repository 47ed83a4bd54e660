/** A pool of the world. */
import type { Grant } from "../../src/contract/claim.ts";
import type { PoolEvent } from "../../src/contract/event.ts";
import type { Row } from "../../src/shard/row.ts";
import { defaultRules } from "../../src/shard/rules.ts";

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
  /** Its last poll brought something, or failed: it polls again by itself once it has room. */
  isDue: boolean;
  /** When it got its last claim. */
  gotAt: number;
};

export function createPool(session: string, now: number): Pool {
  return {
    ...{ session, alive: true, heard: true, heardAt: now, statements: 0, isDue: false, gotAt: now },
    ...{ held: new Map(), refused: new Set(), seen: [], ended: [] },
  };
}

/** The one failure that needs no start. */
export function isInputFault(event: PoolEvent): boolean {
  return event.type === "failed" && event.kind === "input";
}

/** An end tells what the run took, of one that ran. */
export function measured(event: PoolEvent, isRunning: boolean): PoolEvent {
  const isEnd = event.type === "succeeded" || event.type === "failed" || event.type === "released";
  return isRunning && isEnd ? { ...event, usage: { device: "cpu", queuedMs: 0, runMs: 1, gpuUs: 1000 } } : event;
}

/** Whatever comes in whatever order, an attempt is told of once, and what was estimated of it is corrected once. */
export function checkRow({ id, losses, attempt, usage = [] }: Row): void {
  if (losses > defaultRules.maxLosses) throw new Error(`${id} was lost ${losses} times`);
  for (const [told, entries] of Map.groupBy(usage, (entry) => entry.attempt)) {
    const [first, second, ...more] = entries;
    const isCorrected = second === undefined || (first?.flags?.includes("estimated") === true && second.replaces);
    if (told > attempt || first?.replaces !== undefined || !isCorrected || more.length > 0)
      throw new Error(`${id}: attempt ${told} of ${attempt} was told of wrongly: ${JSON.stringify(entries)}`);
  }
}

/** The row as text, without what attempts took: a claim that is no longer the latest may tell that. */
export function withoutUsage({ usage: _usage, earlier: _earlier, ...row }: Row): string {
  return JSON.stringify(row);
}
