import type { ObjectTimers } from "../object-timers.ts";

const over = Symbol("over");

/**
 * The value, or a rejection once `limitMs` have passed; what the promise stands for goes on. The timer may fire for
 * nothing: why it isn't cleared, src/object-timers.ts tells. An object that would be kept awake by it gives its own
 * timers' `after`.
 */
export async function within<T>(promise: Promise<T>, limitMs: number, after: ObjectTimers["after"] = once): Promise<T> {
  const { promise: limit, resolve } = Promise.withResolvers<typeof over>();
  const giveUp = after(limitMs, () => resolve(over));
  try {
    const value = await Promise.race([promise, limit]);
    if (value === over) throw new Error(`not done within ${limitMs} ms`);
    return value;
  } finally {
    giveUp();
  }
}

function once(delayMs: number, call: () => void): () => void {
  setTimeout(call, delayMs);
  return () => {};
}
