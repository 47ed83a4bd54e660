/**
 * Spreads the requests to one host over several objects: the platform gives each six connections, one of which stays
 * free for the secret's look-up. The first five leave from the sender itself, so that one is enough for most hosts.
 */
import type { Outbound, Outcome } from "./attempt.ts";

export const REQUESTS_PER_OBJECT = 5;

type Attempt = (message: Outbound) => Promise<Outcome>;

/** `helper` sends by the object of that number, from 1. A helper that can't be asked costs the message no try. */
export function createSpread(own: Attempt, helper: (number: number, message: Outbound) => Promise<Outcome>): Attempt {
  const open: number[] = [0];

  return async (message) => {
    const free = open.findIndex((count) => count < REQUESTS_PER_OBJECT);
    const number = free === -1 ? open.push(0) - 1 : free;
    open[number] = (open[number] ?? 0) + 1;
    try {
      return await (number === 0 ? own(message) : helper(number, message));
    } catch {
      const error = "A sender could not be asked.";
      return { result: "unsent", status: null, error, response: null, retryAfterMs: null, hostFailed: false };
    } finally {
      open[number] = (open[number] ?? 1) - 1;
    }
  };
}
