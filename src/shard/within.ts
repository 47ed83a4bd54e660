const over = Symbol("over");

/**
 * The value, or a rejection once `limitMs` have passed; what the promise stands for goes on. The timer may fire for
 * nothing: why it isn't cleared, src/object-timers.ts tells.
 */
export async function within<T>(promise: Promise<T>, limitMs: number): Promise<T> {
  const limit = new Promise<typeof over>((resolve) => {
    setTimeout(() => resolve(over), limitMs);
  });
  const value = await Promise.race([promise, limit]);
  if (value === over) throw new Error(`not done within ${limitMs} ms`);
  return value;
}
