/** What a lane is told of a version that nobody serves: when a machine will, or why none is rented for it. */
import { coldStartOf, totalMs } from "../../contract/cold-start.ts";
import type { ColdStart } from "../../contract/cold-start.ts";
import type { ScalerCore } from "./core.ts";
import { isWorking } from "./machine.ts";
import type { Machine } from "./machine.ts";

export type Outlook = { coldStart: ColdStart | null; refused: string | null };

const LEAST_MS = 1000;

export function outlookOf(core: ScalerCore, key: string, nowMs: number): Outlook {
  const sick = core.sickness.reason(key, nowMs);
  if (sick !== null) return { coldStart: null, refused: sick };
  const { hardware } = core.resolved(key);
  if (hardware === null) return { coldStart: null, refused: null };
  const bootMs = core.bootMs(hardware);
  const setupMs = core.learned.setupMs(key);
  const classes = [hardware, ...core.spills.classesOf(key)];
  const working = core.book.all().filter((one) => classes.includes(one.hardware) && isWorking(one));
  const starts = working.flatMap((machine) => startOn(machine, { core, setupMs, nowMs }));
  if (working.length > 0) return { coldStart: soonest(starts), refused: null };
  const last = core.classes.get(hardware)?.last ?? null;
  // Nothing comes while nothing can be rented, while what waits has time, and while what leaves fills the maximum.
  const isHeld = last !== null && (last.problem !== null || last.plan.order.spot + last.plan.order.onDemand === 0);
  const coldStart = isHeld || bootMs === null ? null : coldStartOf(bootMs, setupMs, 0);
  return { coldStart, refused: null };
}

type Known = { core: ScalerCore; setupMs: number | null; nowMs: number };

/** None: nobody knows when its pool will connect. */
function startOn(machine: Machine, { core, setupMs, nowMs }: Known): ColdStart[] {
  const { session, state, wantedAtMs } = machine;
  const bootMs = core.bootMs(machine.hardware);
  // The version is set up as soon as the pool is there; where others were before it, when it is asked for.
  if (session !== null) return [coldStartOf(0, setupMs, state === "connected" ? core.book.ageMs(machine) : 0)];
  if (bootMs === null) return [];
  const start = coldStartOf(bootMs, setupMs, Math.min(bootMs, nowMs - wantedAtMs));
  const overdueMs = Math.max(0, nowMs - wantedAtMs - bootMs);
  const left = { ...start, machineMs: Math.max(LEAST_MS, start.machineMs) };
  const mostMs = (start.mostMs ?? 0) - overdueMs;
  return [{ ...left, mostMs: mostMs < totalMs(left) ? null : mostMs }];
}

function soonest(starts: readonly ColdStart[]): ColdStart | null {
  return starts.toSorted((a, b) => totalMs(a) - totalMs(b))[0] ?? null;
}
