/**
 * What waits in memory for readers that are slow. Each account has half of it at most: one whose readers sleep is told
 * less at a time, and nobody else's. Counted in characters, about bytes.
 */
export const MAX_LAG_CHARS = 16 * 1024 * 1024;
export const MAX_ACCOUNT_LAG_CHARS = MAX_LAG_CHARS / 2;

export type LagBudget = ReturnType<typeof createLagBudget>;

export function createLagBudget() {
  const accounts = new Map<string, number>();
  let all = 0;

  return {
    /** More waits for one of the account's readers, or (below 0) less. */
    change(accountId: string, chars: number): void {
      const left = (accounts.get(accountId) ?? 0) + chars;
      all += chars;
      if (left === 0) accounts.delete(accountId);
      else accounts.set(accountId, left);
    },

    /** Whether so much more may not wait for the account. */
    isOver(accountId: string): boolean {
      return all > MAX_LAG_CHARS || (accounts.get(accountId) ?? 0) > MAX_ACCOUNT_LAG_CHARS;
    },
  };
}
