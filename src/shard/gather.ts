/**
 * Group commit: what comes in quick succession is stored in one go, and synced to disk once. One that comes alone is stored at once;
 * those that follow within `busyMs` wait up to `windowMs` for company.
 */
export type Gather<T, R> = (item: T) => Promise<R>;

export function createGather<T, R>(
  store: (item: T) => R,
  timing: { windowMs: number; busyMs: number },
  now: () => number,
): Gather<T, R> {
  type Waiting = { item: T; resolve: (result: R) => void; reject: (reason: unknown) => void };
  let waiting: Waiting[] = [];
  let lastAt = -Infinity;

  function storeAll(): void {
    const batch = waiting;
    waiting = [];
    for (const { item, resolve, reject } of batch) {
      try {
        resolve(store(item));
      } catch (error) {
        reject(error);
      }
    }
  }

  return async (item) => {
    const isAlone = now() - lastAt > timing.busyMs && waiting.length === 0;
    lastAt = now();
    if (isAlone) return store(item);
    return new Promise<R>((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      if (waiting.length === 1) setTimeout(storeAll, timing.windowMs);
    });
  };
}
