/**
 * The value, or a rejection once `limitMs` have passed; what the promise stands for goes on. The timer may fire for nothing: why it isn't
 * cleared, src/object-timers.ts tells.
 */
export async function within<T>(promise: Promise<T>, limitMs: number): Promise<T> {
  const limit = new Promise<never>((_resolve, reject) => {
    setTimeout(() => reject(new Error(`not done within ${limitMs} ms`)), limitMs);
  });
  return Promise.race([promise, limit]);
}
