/** When pool sessions are asked whether they still hold what was granted to them, and what their answers mean. */
import type { Lease } from "../fleet/types.ts";
import * as machine from "./machine.ts";
import type { Effect } from "./machine.ts";
import type { Row } from "./row.ts";
import type { Rules } from "./rules.ts";

export function createLeases({ rules, now }: { rules: Rules; now: () => number }) {
  let patientUntil = 0;
  const isPatient = () => now() < patientUntil;

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

    /** What the session's lease means for its claim; null: nothing yet. */
    judge(row: Row, lease: Lease): Effect[] | null {
      if (!lease.alive) return isPatient() ? null : machine.lose(row, now(), rules);
      row.checkAt = now() + Math.min(rules.leaseMs, Math.max(1000, lease.remainingMs));
      return [];
    },
  };
}
