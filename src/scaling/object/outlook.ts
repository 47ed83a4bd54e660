/** What a lane is told of a version that nobody serves: when a machine will, or why none is rented for it. */
import type { ScalerCore } from "./core.ts";
import { isWorking } from "./machine.ts";

export type Outlook = { comesInMs: number | null; refused: string | null };

const LEAST_MS = 1000;

export function outlookOf(core: ScalerCore, key: string, nowMs: number): Outlook {
  const sick = core.sickness.reason(key, nowMs);
  if (sick !== null) return { comesInMs: null, refused: sick };
  const { hardware } = core.resolved(key);
  if (hardware === null) return { comesInMs: null, refused: null };
  const bootMs = core.bootMs(hardware);
  const setupMs = core.learned.setupMs(key) ?? 0;
  const working = core.book.all().filter((one) => one.hardware === hardware && isWorking(one));
  const waits = working.map(({ session, wantedAtMs }) => {
    if (session !== null) return 0;
    return bootMs === null ? Infinity : Math.max(LEAST_MS, bootMs - (nowMs - wantedAtMs));
  });
  const last = core.classes.get(hardware)?.last ?? null;
  // Nothing comes while nothing can be rented, nor while what waits has time.
  const isHeld = last !== null && (last.problem !== null || last.plan.wanted.spot + last.plan.wanted.onDemand === 0);
  const coming = working.length > 0 ? Math.min(...waits) : isHeld || bootMs === null ? Infinity : bootMs;
  return { comesInMs: coming === Infinity ? null : Math.round(coming + setupMs), refused: null };
}
