/**
 * What waits in memory for readers that are slow. Each account has half of it at most: one whose readers sleep is told
 * less at a time, and nobody else's. Counted in characters, about bytes.
 */
import { createFairShare } from "../../plugins/kernel/fair-share.ts";
import type { Bound } from "../../plugins/kernel/fair-share.ts";

const MAX_LAG_CHARS = 16 * 1024 * 1024;
const MAX_ACCOUNT_LAG_CHARS = MAX_LAG_CHARS / 2;

/** A reader, as far as it can give room: `cut` takes back all that waits for it, and ends it. */
export type Lagging = { waitingChars(): number; cut(): void };

export type LagBudget = ReturnType<typeof createLagBudget>;

export function createLagBudget() {
  const shares = createFairShare({ total: MAX_LAG_CHARS, perHolder: MAX_ACCOUNT_LAG_CHARS });
  const readers = new Map<string, Set<Lagging>>();
  const passed = (accountId: string): Bound | null => shares.refusal(accountId, 0);

  /** The account's reader that lags most; null: nothing waits for any. */
  function laggard(accountId: string): Lagging | null {
    let [most, chars]: [Lagging | null, number] = [null, 0];
    for (const reader of readers.get(accountId) ?? []) {
      if (reader.waitingChars() > chars) [most, chars] = [reader, reader.waitingChars()];
    }
    return most;
  }

  return {
    /** More waits for one of the account's readers, or (below 0) less. */
    change: shares.change,

    /** The bound beyond which the account is; null: it is within both. */
    passed,

    /** Notes a reader until it is closed, so that it can be cut to make room. */
    enter(accountId: string, reader: Lagging): void {
      const own = readers.get(accountId) ?? new Set();
      readers.set(accountId, own.add(reader));
    },

    leave(accountId: string, reader: Lagging): void {
      const own = readers.get(accountId);
      if (own?.delete(reader) === true && own.size === 0) readers.delete(accountId);
    },

    /**
     * Cuts those of the account's readers that lag most until the account is within its bounds, so that one that reads
     * goes on beside others that sleep. Returns false where it can't: what is left is on its way to its readers.
     */
    makeRoom(accountId: string): boolean {
      while (passed(accountId) !== null) {
        const most = laggard(accountId);
        if (most === null) return false;
        most.cut();
      }
      return true;
    },
  };
}
