/**
 * Passes a pool's statements on to its lanes. What a lane did not take rides in the next try: a pool says that it has
 * room once, and a lane that missed it would leave it idle while something waits.
 */
import { retryDelayMs } from "../object-calls.ts";
import { createObjectTimers } from "../object-timers.ts";
import { within } from "../shard/within.ts";
import type { RoomReport } from "../lane/types.ts";
import { versionKey } from "../lane/types.ts";

/** Of predictions that are named in a report. */
const MAX_IDS = 10_000;
/** A lane that doesn't answer by then is tried again: all that comes meanwhile waits for that. */
const TELL_LIMIT_MS = 30_000;

export type StatementsDeps = {
  tell(lane: string, report: RoomReport): Promise<void>;
  /** Whether the pool's channel stands: else its lanes are told that it is gone, and nothing after that. */
  isOpen(): boolean;
  sleep?: (ms: number) => Promise<void>;
};

export function createStatements({ tell, isOpen, sleep = (ms) => scheduler.wait(ms) }: StatementsDeps) {
  /** What lanes did not take; while a lane stands here somebody tries it again. */
  const missed = new Map<string, RoomReport | null>();
  const timers = createObjectTimers();

  async function retry(lane: string, firstError: unknown): Promise<void> {
    let error = firstError;
    for (let failures = 1; isOpen(); failures += 1) {
      await sleep(retryDelayMs(failures, error));
      const report = missed.get(lane) ?? null;
      if (report === null || !isOpen()) break;
      missed.set(lane, null);
      try {
        await within(tell(lane, report), TELL_LIMIT_MS, timers.after);
        failures = 0;
      } catch (again) {
        error = again;
        keep(lane, report);
      }
    }
    missed.delete(lane);
  }

  function keep(lane: string, report: RoomReport): void {
    const other = missed.get(lane) ?? null;
    missed.set(lane, other === null ? report : merge(other, report));
  }

  return {
    /** Resolves once the lane has it, or the channel is closed. */
    async pass(lane: string, report: RoomReport): Promise<void> {
      if (missed.has(lane)) return keep(lane, report);
      try {
        await within(tell(lane, report), TELL_LIMIT_MS, timers.after);
      } catch (error) {
        const isTried = missed.has(lane);
        keep(lane, report);
        if (!isTried) await retry(lane, error);
      }
    },
  };
}

/** Two statements of one session as one: the later one's numbers, and all that either names. */
function merge(one: RoomReport, other: RoomReport): RoomReport {
  const [older, newer] = one.n < other.n ? [one, other] : [other, one];
  const models = new Map((newer.full ? [] : older.models).map((model) => [versionKey(model), model]));
  for (const model of newer.models) models.set(versionKey(model), model);
  return {
    session: newer.session,
    n: newer.n,
    full: newer.full || older.full,
    models: [...models.values()],
    seen: [...older.seen, ...newer.seen].slice(-MAX_IDS),
    ended: [...older.ended, ...newer.ended].slice(-MAX_IDS),
  };
}
