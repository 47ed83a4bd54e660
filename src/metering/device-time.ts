/**
 * No more than a second a second for each device: what the sessions of one pool token can have had together, in one
 * account's meter. A token has credit, which grows with the clock and which its intervals use up. What is beyond is
 * cut.
 */
import { DAY_MS } from "./calendar.ts";
import { DEVICE_TIME } from "./meter-rows.ts";
import type { NoteName } from "./meter-rows.ts";
import type { IntervalRecord } from "./record.ts";
import { countable } from "./sums.ts";

/** `devices`: as many as all of the token's sessions have that are not over. */
export type DeviceRate = { token: string; devices: number };

/**
 * Of each device that is new: a pool counts before the gateway first hears of it, and brings what an earlier token's
 * life had left.
 */
const FIRST_MS = DAY_MS;
/** A pool tells later what it counted while the gateway was away. */
const MOST_MS = 31 * DAY_MS;
const US_A_MS = 1000;

type Notes = { note(name: NoteName): string | null; setNote(name: NoteName, value: string): void };

/** `us`: what is left, as of `at`, when the token had so many devices, and `most` until then. */
type Credit = { at: number; us: number; devices: number; most: number };
const NONE: Omit<Credit, "at"> = { us: 0, devices: 0, most: 0 };

export function openDeviceTime(notes: Notes, now: number) {
  const byToken = new Map<string, Credit>();

  function creditOf({ token, devices }: DeviceRate): Credit {
    const known = byToken.get(token) ?? read(token);
    // A clock that was put back gives nothing twice.
    const at = Math.max(known.at, now);
    // Pools that were all away come back one by one, and had the time since then all the same.
    const had = Math.max(known.devices, devices);
    const fresh = Math.max(0, devices - known.most);
    const us = known.us + US_A_MS * ((at - known.at) * had + FIRST_MS * fresh);
    const bounded = countable(Math.min(us, MOST_MS * US_A_MS * had));
    return { at, us: bounded, devices, most: known.most + fresh };
  }

  function read(token: string): Credit {
    const [at, us, devices, most] = (notes.note(nameOf(token)) ?? "").split(" ").map(Number);
    const isKnown = us !== undefined && devices !== undefined && most !== undefined;
    return at !== undefined && isKnown ? { at, us, devices, most } : { at: now, ...NONE };
  }

  return {
    /** The record with what is left for it. */
    cap(record: IntervalRecord, rate: DeviceRate): IntervalRecord {
      const credit = creditOf(rate);
      const gpuUs = Math.min(record.gpuUs, credit.us);
      byToken.set(rate.token, { ...credit, us: credit.us - gpuUs });
      if (gpuUs === record.gpuUs) return record;
      return { ...record, gpuUs, flags: [...new Set([...record.flags, "capped" as const])] };
    },

    /** Stores what is left: a row for each token. */
    keep(): void {
      for (const [token, { at, us, devices, most }] of byToken)
        notes.setNote(nameOf(token), `${at} ${us} ${devices} ${most}`);
    },
  };
}

function nameOf(token: string): NoteName {
  return `${DEVICE_TIME}${token}`;
}
