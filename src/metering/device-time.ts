/**
 * No more than a second a second for each device: what the sessions of one pool token can have had together, in one
 * account's meter. A token has credit, which grows with the clock and which its intervals use up. What is beyond is cut.
 */
import { DAY_MS } from "./calendar.ts";
import { DEVICE_TIME } from "./meter-rows.ts";
import type { NoteName } from "./meter-rows.ts";
import type { IntervalRecord } from "./record.ts";
import { countable } from "./sums.ts";

/** `devices`: as many as all of the token's sessions have that are not over. */
export type DeviceRate = { token: string; devices: number };

/** A pool counts before the gateway first hears of it, and brings what an earlier token's life had left. */
const FIRST_MS = DAY_MS;
/** A pool tells later what it counted while the gateway was away. */
const MOST_MS = 31 * DAY_MS;
const US_A_MS = 1000;

type Notes = { note(name: NoteName): string | null; setNote(name: NoteName, value: string): void };

/** `us`: what is left, as of `at`, when the token had so many devices. */
type Credit = { at: number; us: number; devices: number };

export function openDeviceTime(notes: Notes, now: number) {
  const byToken = new Map<string, Credit>();

  function creditOf({ token, devices }: DeviceRate): Credit {
    const known = byToken.get(token) ?? read(token);
    if (known === null) return { at: now, us: countable(FIRST_MS * US_A_MS * devices), devices };
    // A clock that was put back gives nothing twice.
    const at = Math.max(known.at, now);
    // Pools that were all away come back one by one, and had the time since then all the same.
    const most = Math.max(known.devices, devices);
    const us = known.us + (at - known.at) * US_A_MS * most;
    return { at, us: countable(Math.min(us, MOST_MS * US_A_MS * most)), devices };
  }

  function read(token: string): Credit | null {
    const [at, us, devices = 0] = (notes.note(nameOf(token)) ?? "").split(" ").map(Number);
    return at === undefined || us === undefined ? null : { at, us, devices };
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
      for (const [token, { at, us, devices }] of byToken) notes.setNote(nameOf(token), `${at} ${us} ${devices}`);
    },
  };
}

function nameOf(token: string): NoteName {
  return `${DEVICE_TIME}${token}`;
}
