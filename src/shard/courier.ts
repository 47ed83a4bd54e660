/**
 * Sends what is collected for many receivers: one call in flight per receiver, and what comes meanwhile rides in the
 * next. A call that fails is tried again while the object lives; after that the sweeps find its content in the stored
 * rows.
 */
import { retryDelayMs } from "../object-calls.ts";

export type Courier = {
  kick(): void;
  /** Whether anything is on its way, or waits to be tried again. */
  isBusy(): boolean;
};

/**
 * `receivers` lists who has something waiting; `send` takes it out, sends it, and puts back what was not taken. It says
 * whether to go on at once; when it throws, the receiver is tried again later.
 */
export function createCourier(receivers: () => Iterable<string>, send: (receiver: string) => Promise<void>): Courier {
  const busy = new Set<string>();

  async function run(receiver: string): Promise<void> {
    busy.add(receiver);
    let failures = 0;
    for (;;) {
      try {
        if (![...receivers()].includes(receiver)) break;
        await send(receiver);
        failures = 0;
      } catch (error) {
        failures += 1;
        const delayMs = retryDelayMs(failures, error);
        await new Promise((resolve) => setTimeout(resolve, delayMs));
      }
    }
    busy.delete(receiver);
  }

  return {
    kick() {
      for (const receiver of receivers()) if (!busy.has(receiver)) void run(receiver);
    },

    isBusy: () => busy.size > 0,
  };
}
