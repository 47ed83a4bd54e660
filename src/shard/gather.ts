/**
 * Group commit: what comes in quick succession is stored in one go, and synced to disk once. One that comes alone is
 * stored at once: nothing came within `busyMs` before it, or its caller knows that nobody else waits for anything.
 * Others wait up to `windowMs` for company. Only callers can know: what is stored at once has its answer before the
 * next request is looked at, so that here each of many would seem to be alone.
 */
export type Gather<T, R> = (item: T, isLone: boolean) => Promise<R>;

/** `store` answers in the order of its items: one that can't be stored fails alone. */
export function createGather<T, R>(
  store: (items: readonly T[]) => Promise<PromiseSettledResult<R>[]>,
  timing: { windowMs: number; busyMs: number },
  now: () => number,
): Gather<T, R> {
  type Waiting = { item: T; resolve: (result: R) => void; reject: (reason: unknown) => void };
  let waiting: Waiting[] = [];
  let lastAt = -Infinity;

  async function storeAll(): Promise<void> {
    const batch = waiting;
    waiting = [];
    try {
      const results = await store(batch.map(({ item }) => item));
      batch.forEach(({ resolve, reject }, index) => {
        const result = results[index];
        if (result?.status === "fulfilled") resolve(result.value);
        else reject(result?.reason);
      });
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }

  return async (item, isLone) => {
    const isAlone = waiting.length === 0 && (isLone || now() - lastAt > timing.busyMs);
    lastAt = now();
    return new Promise<R>((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      if (isAlone) void storeAll();
      else if (waiting.length === 1) setTimeout(() => void storeAll(), timing.windowMs);
    });
  };
}
