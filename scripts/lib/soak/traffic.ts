/** Runs operations: as fast as a number of clients can, to learn what the stack carries, and then at an even pace. */
import { setTimeout as sleep } from "node:timers/promises";
import { accountOf, GREEDY } from "./accounts.ts";
import type { Account } from "./accounts.ts";
import { kindOf } from "./operations.ts";
import type { Kind, Operations } from "./operations.ts";

const CLIENTS = 16;
/** So many at once at most: one that would be more is put off, and counted as such. */
const MOST_AT_ONCE = 256;
const PROBLEMS_KEPT = 10;
/** So many operations of the greedy account begin at once. */
const BURST = 16;

export type Took = { kind: Kind; account: Account; ms: number };

export type Traffic = {
  /** What has ended since the last call. */
  take(): Took[];
  readonly failed: number;
  readonly putOff: number;
  /** The first of what went wrong. */
  readonly problems: readonly string[];
  /**
   * What the clients can do a second, by `durationMs` at full speed; less of it once one has failed or the signal came.
   */
  measure(durationMs: number, signal: AbortSignal): Promise<number>;
  /**
   * Begins an operation every `1 / perSecond`, those of the greedy account in bursts, until the signal; resolves when
   * the last has ended.
   */
  pace(perSecond: number, signal: AbortSignal): Promise<void>;
};

export function createTraffic(operationsOf: (account: Account) => Operations): Traffic {
  let ended: Took[] = [];
  const problems: string[] = [];
  let [next, failed, putOff, running] = [0, 0, 0, 0];

  async function run(number: number): Promise<void> {
    const kind = kindOf(number);
    const account = accountOf(number);
    const beganAt = performance.now();
    running += 1;
    try {
      await operationsOf(account)[kind](number);
      ended.push({ kind, account, ms: performance.now() - beganAt });
    } catch (error) {
      failed += 1;
      if (problems.length < PROBLEMS_KEPT)
        problems.push(`${kind}: ${error instanceof Error ? error.message : String(error)}`);
    } finally {
      running -= 1;
    }
  }

  return {
    take() {
      const taken = ended;
      ended = [];
      return taken;
    },
    get failed() {
      return failed;
    },
    get putOff() {
      return putOff;
    },
    problems,
    async measure(durationMs, signal) {
      const end = performance.now() + durationMs;
      const before = next;
      const client = async () => {
        while (performance.now() < end && failed === 0 && !signal.aborted) await run(next++);
      };
      const beganAt = performance.now();
      await Promise.all(Array.from({ length: CLIENTS }, client));
      return ((next - before) / (performance.now() - beganAt)) * 1000;
    },
    async pace(perSecond, signal) {
      const open = new Set<Promise<void>>();
      let burst: number[] = [];
      const begin = (number: number) => {
        if (running >= MOST_AT_ONCE) {
          putOff += 1;
          return;
        }
        const one: Promise<void> = run(number).finally(() => open.delete(one));
        open.add(one);
      };
      const beganAt = performance.now();
      for (let index = 0; ; index += 1) {
        const waitMs = beganAt + (index / perSecond) * 1000 - performance.now();
        if (waitMs > 1) await sleep(waitMs, undefined, { signal }).catch(() => {});
        if (signal.aborted) break;
        const number = next++;
        if (accountOf(number) === GREEDY) burst.push(number);
        else begin(number);
        if (burst.length < BURST) continue;
        for (const held of burst) begin(held);
        burst = [];
      }
      await Promise.all(open);
    },
  };
}
