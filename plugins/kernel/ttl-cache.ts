/**
 * A small cache with an expiry per entry and bounds on how many it keeps and what they take: the isolate's memory of
 * what it looked up.
 */

export type TtlCache<Value> = {
  /** The value, or undefined when there is none or it is too old. */
  get(key: string): Value | undefined;
  set(key: string, value: Value, ttlMs: number): void;
  delete(key: string): void;
};

/** Where values differ much in size: what one takes, about, and what all may take with their keys. */
export type ByteBudget<Value> = { maxBytes: number; bytesOf: (value: Value) => number };

/**
 * Makes a cache of at most `maxEntries`, within `budget`; when full, the entries that were set first go first. A value
 * that alone is over the budget is not kept.
 */
export function createTtlCache<Value>(maxEntries: number, budget?: ByteBudget<Value>): TtlCache<Value> {
  const entries = new Map<string, { value: Value; expiresAt: number; bytes: number }>();
  let bytes = 0;

  function remove(key: string): void {
    bytes -= entries.get(key)?.bytes ?? 0;
    entries.delete(key);
  }

  function isFull(more: number): boolean {
    return entries.size >= maxEntries || (budget !== undefined && bytes + more > budget.maxBytes);
  }

  return {
    get(key) {
      const entry = entries.get(key);
      if (entry === undefined) return undefined;
      if (entry.expiresAt > Date.now()) return entry.value;
      remove(key);
      return undefined;
    },
    set(key, value, ttlMs) {
      remove(key);
      const own = budget === undefined ? 0 : key.length + budget.bytesOf(value);
      if (budget !== undefined && own > budget.maxBytes) return;
      while (isFull(own)) {
        const oldest = entries.keys().next();
        if (oldest.done) break;
        remove(oldest.value);
      }
      entries.set(key, { value, expiresAt: Date.now() + ttlMs, bytes: own });
      bytes += own;
    },
    delete: remove,
  };
}
