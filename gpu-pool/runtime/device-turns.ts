/**
 * Who has the devices of a slot, by what this pool knows itself. A process runs strangers' code: its word that a run
 * begins late, or that a call was over early, hides no time of its devices. The first run of a slot that is not over
 * has them from when it was given, or from the last result of the one before it, until its own results are here. One
 * behind it has them, too, from when its process says that it begins.
 */
import type { Run, RunItem } from "./run.ts";
import type { RunMeter } from "./runner-options.ts";

/** To be called whenever the slot was given a run, and when one of its runs has a result, or is over. */
export function holdDevices(runs: Iterable<Run>, slot: number, meter: RunMeter): void {
  for (const run of runs) {
    if (run.slot !== slot || run.first === undefined) continue;
    return hold(run, meter);
  }
}

/** The process is gone: whoever runs again begins again. */
export function leaveDevices(run: Run, meter: RunMeter): void {
  for (const item of run.unfinished()) {
    item.holds = false;
    meter.off(item.prediction.ref.token);
  }
}

/** Of a run of several calls one member has them at a time; who is being stopped does not get them any more. */
function hold(run: Run, meter: RunMeter): void {
  if (!run.isOneCall) {
    const open = run.unfinished();
    const next = open.some(({ holds }) => holds) ? undefined : open.find(isWanted);
    if (next !== undefined) holdItem(next, meter);
  } else if (!run.isHeld) {
    run.isHeld = true;
    for (const item of run.unfinished()) if (isWanted(item)) holdItem(item, meter);
  }
}

/** It has its devices from now on, if it did not. */
export function holdItem(item: RunItem, meter: RunMeter): void {
  const { prediction, devices } = item;
  item.holds = true;
  meter.begin(prediction.ref.token, devices, prediction.grant.cost);
}

function isWanted({ prediction }: RunItem): boolean {
  return prediction.ending === null;
}
