import type { ChildProcess } from "node:child_process";

/** Signals a process that leads a group of its own (`detached`), so that what it forked goes with it. */
export function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    child.kill(signal);
  }
}
