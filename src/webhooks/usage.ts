/**
 * What accounts take of a sender, in bytes. Looked up by account when it is first needed, from the indexes alone, and
 * followed from there: it costs no row. Nobody's use refuses another's messages: when the whole object is large, every
 * account still has its small share.
 */
import type { Store } from "./store.ts";
import type { Usage } from "./stored-message.ts";

export type UsageLimits = {
  /** What an account's messages may take while they wait or are sent, and once they have ended. */
  accountBytes: number;
  accountLogBytes: number;
  /** Above it each account has `crowdedAccountBytes` for either. SQLite in an object holds 10 GB. */
  hostBytes: number;
  crowdedAccountBytes: number;
};

/** Accounts whose use is remembered. */
const MAX_KNOWN = 5000;

export function createUsage(store: Store, limits: UsageLimits, databaseBytes: () => number) {
  const known = new Map<string, Usage>();

  function of(accountId: string): Usage {
    const usage = known.get(accountId) ?? store.usage(accountId);
    if (!known.has(accountId) && known.size >= MAX_KNOWN) known.clear();
    known.set(accountId, usage);
    return usage;
  }

  const isCrowded = (): boolean => databaseBytes() > limits.hostBytes;
  const share = (bytes: number): number => (isCrowded() ? Math.min(bytes, limits.crowdedAccountBytes) : bytes);

  return {
    isCrowded,

    /** The bound that the account would pass with so much more; null: it may. One message always may. */
    refusal(accountId: string, bytes: number): number | null {
      const { openBytes } = of(accountId);
      const bound = share(limits.accountBytes);
      return openBytes > 0 && openBytes + bytes > bound ? bound : null;
    },

    /** By how much the account's log is too large. */
    logSurplus: (accountId: string): number => of(accountId).logBytes - share(limits.accountLogBytes),

    /** Follows a change that was stored. */
    change(accountId: string, by: Usage): void {
      const usage = known.get(accountId);
      if (usage === undefined) return;
      usage.openBytes += by.openBytes;
      usage.logBytes += by.logBytes;
    },

    /** Something changed that is not worth following: it is looked up again. */
    forget(accountId: string): void {
      known.delete(accountId);
    },

    /** What was followed may not have been stored. */
    forgetAll(): void {
      known.clear();
    },
  };
}
