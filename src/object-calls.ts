/**
 * Calls to Durable Objects: what is tried again, when, and what is not. The platform marks its errors
 * (https://developers.cloudflare.com/durable-objects/best-practices/error-handling/):
 *
 *   overloaded           the object can't keep up: never tried again in place
 *   remote               the object's own code threw, or did not get through to another one, which it has tried: the
 * same
 *   retryable            it was not reached, or the connection broke
 *   durableObjectReset   it ended under the call (seen with workerd 1.20261102). Its stub stays broken; a new one
 * reaches its successor
 *
 * One layer retries. Who waits for an answer uses `callObject`; who goes on until it succeeds waits `retryDelayMs` in
 * between and calls once each time.
 */

import { isNewerSchema } from "./object-schema.ts";

/** Calls of one `callObject`, the first included. */
const MAX_TRIES = 4;
const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 2000;
/** An object that can't keep up is left alone for longer. */
const FIRST_OVERLOADED_DELAY_MS = 2000;
const MAX_OVERLOADED_DELAY_MS = 30_000;
/** By how much delays differ, of what they are: callers that failed together don't come back together. */
const JITTER = 0.5;

/**
 * The object of that name. The runtime's own retries are off: four of them under four of ours would make twenty calls
 * of one. A stub serves one try: what breaks a call may have broken its stub.
 */
export function objectNamed<T extends Rpc.DurableObjectBranded | undefined>(
  namespace: DurableObjectNamespace<T>,
  name: string,
): DurableObjectStub<T> {
  return namespace.getByName(name, { retry: { maxRetries: 0 } });
}

/**
 * Makes a call that may be repeated without harm, up to four times in about a second while it fails in passing. `call`
 * takes a new stub each time. Throws the last error.
 */
export async function callObject<T>(
  call: () => Promise<T>,
  { random = Math.random, sleep = sleepMs } = {},
): Promise<T> {
  for (let failures = 1; ; failures += 1) {
    try {
      return await call();
    } catch (error) {
      if (failures >= MAX_TRIES || !isWorthRetrying(error)) throw error;
      await sleep(retryDelayMs(failures, error, random));
    }
  }
}

/** How long to wait after `failures` in a row, the last of which was `error`, before the next try. */
export function retryDelayMs(failures: number, error: unknown, random: () => number = Math.random): number {
  const [firstMs, maxMs] = isOverloaded(error)
    ? [FIRST_OVERLOADED_DELAY_MS, MAX_OVERLOADED_DELAY_MS]
    : [FIRST_DELAY_MS, MAX_DELAY_MS];
  const delayMs = Math.min(maxMs, firstMs * 2 ** (failures - 1));
  return Math.round(delayMs * (1 + JITTER * (2 * random() - 1)));
}

/** Whether an object that was called, or one behind it, can't keep up. */
export function isOverloaded(error: unknown): boolean {
  return has(error, "overloaded");
}

/**
 * Whether the platform failed the call, and not the code of an object, or the object waits for a later release: a later
 * call may do better.
 */
export function isPassing(error: unknown): boolean {
  return (
    has(error, "overloaded") || has(error, "retryable") || has(error, "durableObjectReset") || isNewerSchema(error)
  );
}

function isWorthRetrying(error: unknown): boolean {
  return isPassing(error) && !has(error, "overloaded") && !has(error, "remote");
}

function has(error: unknown, mark: "overloaded" | "remote" | "retryable" | "durableObjectReset"): boolean {
  return error instanceof Error && Reflect.get(error, mark) === true;
}

function sleepMs(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
