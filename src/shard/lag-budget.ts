/**
 * What waits in memory for readers that are slow. Each account has half of it at most: one whose readers sleep is told
 * less at a time, and nobody else's. Counted in characters, about bytes.
 */
import { createFairShare } from "../../plugins/kernel/fair-share.ts";
import type { Bound } from "../../plugins/kernel/fair-share.ts";

const MAX_LAG_CHARS = 16 * 1024 * 1024;
const MAX_ACCOUNT_LAG_CHARS = MAX_LAG_CHARS / 2;

export type LagBudget = ReturnType<typeof createLagBudget>;

export function createLagBudget() {
  const shares = createFairShare({ total: MAX_LAG_CHARS, perHolder: MAX_ACCOUNT_LAG_CHARS });

  return {
    /** More waits for one of the account's readers, or (below 0) less. */
    change: shares.change,

    /** The bound beyond which the account is; null: it is within both. */
    passed: (accountId: string): Bound | null => shares.refusal(accountId, 0),
  };
}
