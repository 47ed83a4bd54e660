/**
 * Tells the scaler what waits and runs: once a second at most, when something may have changed, and rarely while
 * nothing is rented. What could not be told is told again.
 */
import type { DemandReply, LaneDemand, VersionDemand } from "../scaling/demand.ts";
import { within } from "../shard/within.ts";

const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 30_000;
/** A call that is never answered would be the lane's last. */
const TELL_LIMIT_MS = 20_000;

export type TellerDeps = {
  now(): number;
  /** The function that it answers gives the call up. */
  after(delayMs: number, call: () => void): () => void;
  demand(): VersionDemand[];
  tell(report: LaneDemand): Promise<DemandReply>;
  /** Of versions that nobody serves: when somebody will, or why nobody. */
  heard(reply: DemandReply): void;
};

export type DemandTeller = ReturnType<typeof createDemandTeller>;

export function createDemandTeller({ now, after, demand, tell, heard }: TellerDeps) {
  const life = crypto.randomUUID();
  let n = 0;
  let everyMs = 0;
  let toldAt = -Infinity;
  let failures = 0;
  let isUnderWay = false;
  let isDue = false;
  /** Gives up the next time; null: none is set. */
  let giveUp: (() => void) | null = null;
  /** How often the scaler asked by itself. */
  let asked = 0;

  function report(): LaneDemand {
    n += 1;
    return { life, n, versions: demand() };
  }

  function tellSoon(): void {
    if (giveUp !== null || isUnderWay) return;
    const pauseMs = failures === 0 ? everyMs : Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** (failures - 1));
    const delayMs = toldAt + pauseMs - now();
    giveUp = after(Math.max(0, delayMs), () => {
      giveUp = null;
      void send();
    });
  }

  async function send(): Promise<void> {
    isUnderWay = true;
    isDue = false;
    toldAt = now();
    const askedBefore = asked;
    try {
      const reply = await within(tell(report()), TELL_LIMIT_MS, after);
      failures = 0;
      // What it said before it asked may be so no longer.
      if (asked === askedBefore) everyMs = reply.everyMs;
      heard(reply);
    } catch {
      failures += 1;
      isDue = true;
    }
    isUnderWay = false;
    if (isDue) tellSoon();
  }

  return {
    /** Something may have changed. */
    changed(): void {
      isDue = true;
      tellSoon();
    },
    /** The scaler asks: how often it wants to be told is learned anew, at once. */
    asked(): LaneDemand {
      asked += 1;
      everyMs = 0;
      failures = 0;
      giveUp?.();
      giveUp = null;
      isDue = true;
      tellSoon();
      return report();
    },
  };
}
