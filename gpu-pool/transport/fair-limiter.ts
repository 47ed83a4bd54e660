/**
 * Runs at most `limit` pieces of work at once. Those that wait have their turn by whom they are for, one of each in
 * turn: who has many holds up nobody who has one.
 */
export function createFairLimiter(limit: number): <T>(whose: string, work: () => Promise<T>) => Promise<T> {
  /** In the order of turns. */
  const waiting = new Map<string, (() => void)[]>();
  let running = 0;

  function goOn(): void {
    const [first] = waiting;
    if (first === undefined) {
      running -= 1;
      return;
    }
    const [whose, own] = first;
    waiting.delete(whose);
    const next = own.shift();
    if (own.length > 0) waiting.set(whose, own);
    next?.();
  }

  return async (whose, work) => {
    if (running < limit) running += 1;
    else {
      await new Promise<void>((resolve) => {
        const own = waiting.get(whose);
        if (own === undefined) waiting.set(whose, [resolve]);
        else own.push(resolve);
      });
    }
    try {
      return await work();
    } finally {
      goOn();
    }
  };
}
