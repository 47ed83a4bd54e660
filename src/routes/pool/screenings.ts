/**
 * The screenings of claims, each by itself. A request with events waits for them a second at most; what is late goes on
 * behind it, and is there when the pool sends the same events again.
 */
import { log, reasonOf } from "../../telemetry/log.ts";
import type { ClaimScreening } from "./screen-claim.ts";

/** Of late screenings; a pool comes again in a tenth of a second. */
const MAX_KEPT = 1000;
const KEPT_MS = 30_000;

/** `from`: the seq that the shard expected when it began. */
type UnderWay = { from: number; since: number; screening: Promise<ClaimScreening> };
type Steps = {
  /** Screens all that came. */
  begin(): Promise<ClaimScreening>;
  /** Screens what came besides. */
  goOn(before: ClaimScreening): Promise<ClaimScreening>;
  /** Told of what goes on behind the request. */
  behind(work: Promise<unknown>): void;
};

export type Screenings = ReturnType<typeof createScreenings>;

export function createScreenings(now: () => number) {
  const kept = new Map<string, UnderWay>();

  function keep(token: string, underWay: UnderWay): void {
    for (const [oldest, { since }] of kept) {
      if (kept.size < MAX_KEPT && now() - since < KEPT_MS) break;
      kept.delete(oldest);
    }
    kept.set(token, underWay);
  }

  return {
    /**
     * The screened events of the claim `token`, whose shard expects `from`; null when they are late, or could not be
     * screened for now.
     */
    async of(
      token: string,
      from: number,
      limit: Promise<null>,
      { begin, goOn, behind }: Steps,
    ): Promise<ClaimScreening | null> {
      const before = kept.get(token);
      kept.delete(token);
      const isSame = before !== undefined && before.from === from && now() - before.since < KEPT_MS;
      const screening = isSame ? before.screening.then(goOn) : begin();
      try {
        const done = await Promise.race([screening, limit]);
        if (done !== null) return done;
        keep(token, { from, since: isSame ? before.since : now(), screening });
        behind(screening.catch(() => {}));
        return null;
      } catch (error) {
        log.error("not_screened", { reason: reasonOf(error) });
        return null;
      }
    },
  };
}
