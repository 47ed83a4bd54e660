/**
 * What a session's pool was asked about within a lease. The channel that carried it may have been dead, though it stood open: its successor
 * carries it again. In memory only, and no more than `maxClaims`, the newest: without it a grant that nobody got is found a lease later.
 */
import type { ClaimRef } from "../contract/channel.ts";

type Probe = { at: number; claims: ClaimRef[] };

/** Of one session; a pool that holds more is asked about the rest by the next check. */
const MAX_CLAIMS = 5000;

export function createProbes({ now, keptMs, maxClaims = MAX_CLAIMS }: ProbesOptions) {
  const probes: Probe[] = [];
  let count = 0;

  function forgetOldest(): void {
    count -= probes.shift()?.claims.length ?? 0;
  }

  return {
    sent(claims: ClaimRef[]): void {
      const at = now();
      probes.push({ at, claims: claims.slice(-maxClaims) });
      count += Math.min(claims.length, maxClaims);
      while (count > maxClaims || at - (probes[0]?.at ?? at) >= keptMs) forgetOldest();
    },

    /** Each as it was sent, so that none grows beyond what one message may carry. */
    lately(): ClaimRef[][] {
      return probes.filter(({ at }) => now() - at < keptMs).map(({ claims }) => claims);
    },
  };
}

type ProbesOptions = { now: () => number; keptMs: number; maxClaims?: number };
