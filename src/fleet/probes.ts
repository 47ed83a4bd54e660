/**
 * What a session's pool was asked about within a lease. The channel that carried it may have been dead, though it stood open: its successor
 * carries it again. In memory only: without it a grant that nobody got is found a lease later.
 */
import type { ClaimRef } from "../contract/channel.ts";

type Probe = { at: number; claims: ClaimRef[] };

export function createProbes({ now, keptMs }: { now: () => number; keptMs: number }) {
  let probes: Probe[] = [];

  return {
    sent(claims: ClaimRef[]): void {
      const at = now();
      probes = [...probes.filter((probe) => at - probe.at < keptMs), { at, claims }];
    },

    /** Each as it was sent, so that none grows beyond what one message may carry. */
    lately(): ClaimRef[][] {
      return probes.filter(({ at }) => now() - at < keptMs).map(({ claims }) => claims);
    },
  };
}
