/** When pool sessions are asked whether they still hold what was granted to them, and what their answers mean. */
import type { Lease } from "../fleet/types.ts";
import * as machine from "./machine.ts";
import type { Effect } from "./machine.ts";
import type { Row } from "./row.ts";
import type { Rules } from "./rules.ts";
import { attemptEnds, awaitsUsage, endOf } from "./usage.ts";

/** How many leases after its prediction's end a pool that lives may still tell what the run took. */
const USAGE_LEASES = 4;
/** And after how many it is not asked any more, though nobody could say whether it lives. */
const MOST_LEASES = 8;

export function createLeases({ rules, now }: { rules: Rules; now: () => number }) {
  let patientUntil = 0;
  const isPatient = () => now() < patientUntil;

  /** The prediction has ended: whoever lives has some leases to tell what the run took. */
  function settleUsage(row: Row, lease: Lease): Effect[] | null {
    const endedAt = row.completedAt ?? now();
    if (lease.alive ? now() < endedAt + USAGE_LEASES * rules.leaseMs : isPatient()) return null;
    attemptEnds(row, endOf(row), endedAt, lease);
    return [];
  }

  return {
    /**
     * Whether this shard was away: pools are asked what they hold, and have a lease to come back in before it judges
     * them.
     */
    isPatient,

    /** The claim's session is asked now: notes when it is the next time. */
    asked(row: Row): void {
      const at = now();
      if (at - Math.max(row.checkAt ?? at, patientUntil) > rules.leaseMs) patientUntil = at + rules.leaseMs;
      row.checkAt = at + (isPatient() ? rules.firstCheckMs : rules.leaseMs);
    },

    /** Whether the prediction's row must stay, as its pool may yet tell what the run took. */
    mayTell: (row: Row): boolean =>
      awaitsUsage(row) && now() < (row.completedAt ?? now()) + MOST_LEASES * rules.leaseMs,

    /** The prediction's row is about to go: what nobody told is estimated. Whether that was so. */
    giveUp(row: Row): boolean {
      if (!awaitsUsage(row)) return false;
      attemptEnds(row, endOf(row), row.completedAt ?? now());
      return true;
    },

    /** What the session's lease means for its claim; null: nothing yet. */
    judge(row: Row, lease: Lease): Effect[] | null {
      if (awaitsUsage(row)) return settleUsage(row, lease);
      if (!lease.alive) return isPatient() ? null : machine.lose(row, now(), rules, undefined, lease);
      row.checkAt = now() + Math.min(rules.leaseMs, Math.max(1000, lease.remainingMs));
      return [];
    },
  };
}
