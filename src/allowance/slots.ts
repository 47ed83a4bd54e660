/** Reservations that a store knows by their ids, until they are released or expire. Pure. */
import type { GiveBack } from "./types.ts";

/** It holds a slot of each of `buckets`; when it expires, `back` is given back. */
export type Held = { expiresAt: number; since: number; buckets: string[]; back: GiveBack[] };

const USUAL_HOLD_MS = 1000;
/** How much of the mean a new duration makes. */
const SMOOTHING = 0.1;

export type Slots = ReturnType<typeof createSlots>;

export function createSlots() {
  const open = new Map<string, Held>();
  const counts = new Map<string, number>();
  let nextExpiry = Infinity;
  let meanMs = USUAL_HOLD_MS;

  function add(buckets: readonly string[], by: 1 | -1): void {
    for (const bucket of buckets) {
      const count = (counts.get(bucket) ?? 0) + by;
      if (count > 0) counts.set(bucket, count);
      else counts.delete(bucket);
    }
  }

  function drop(id: string, held: Held): void {
    open.delete(id);
    add(held.buckets, -1);
  }

  return {
    held: (bucket: string): number => counts.get(bucket) ?? 0,
    size: (): number => open.size,
    has: (id: string): boolean => open.has(id),
    entries: (): [string, Held][] => [...open],

    hold(id: string, held: Held): void {
      open.set(id, held);
      add(held.buckets, 1);
      nextExpiry = Math.min(nextExpiry, held.expiresAt);
    },

    /** False when it holds nothing (any more). */
    release(id: string, now: number): boolean {
      const held = open.get(id);
      if (held === undefined) return false;
      drop(id, held);
      if (held.buckets.length > 0) meanMs += SMOOTHING * (Math.max(0, now - held.since) - meanMs);
      return true;
    },

    /** Those that have expired, which hold nothing any more. */
    expire(now: number): [string, Held][] {
      if (now < nextExpiry) return [];
      nextExpiry = Infinity;
      const expired: [string, Held][] = [];
      for (const [id, held] of open) {
        if (held.expiresAt <= now) expired.push([id, held]);
        else nextExpiry = Math.min(nextExpiry, held.expiresAt);
      }
      for (const [id, held] of expired) drop(id, held);
      return expired;
    },

    /** In about how many milliseconds one of `limit` slots is free again. */
    freeInMs: (limit: number): number => Math.max(1, meanMs / Math.max(1, limit)),
  };
}
