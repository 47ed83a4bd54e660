/** What the processes of a stack hold: resident memory and open file handles, from /proc. */
import { readFileSync, readdirSync, readlinkSync } from "node:fs";
import { basename } from "node:path";
import { descendantsOf, usageOf } from "../../../test/bench/lib/processes.ts";
import type { Stack } from "../stack.ts";

export type Held = { pid: number; rssBytes: number; handles: number };

/**
 * Every process of the stack by its name; those that are gone are left out, and so are programs that the pool asks
 * something, such as `nvidia-smi`: they come and go.
 */
export function watch(stack: Pick<Stack, "pids">): Map<string, Held> {
  const { edge, workerd, pool } = stack.pids();
  const named: [string, number | null][] = [
    ["edge", edge],
    ["workerd", workerd],
    ["pool", pool],
    ...(pool === null
      ? []
      : descendantsOf(pool)
          .filter(isModel)
          .map((pid): [string, number] => [nameOf(pid), pid])),
  ];
  const held = new Map<string, Held>();
  for (const [name, pid] of named) {
    const handles = pid === null ? null : handlesOf(pid);
    if (pid !== null && handles !== null) held.set(name, { pid, rssBytes: usageOf(pid).rssBytes, handles });
  }
  return held;
}

function isModel(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("edgeplane_child");
  } catch {
    return false;
  }
}

/** A model process is named after the folder that it works in, which is its model's. */
function nameOf(pid: number): string {
  try {
    return `model ${basename(readlinkSync(`/proc/${pid}/cwd`))}`;
  } catch {
    return `process ${pid}`;
  }
}

function handlesOf(pid: number): number | null {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return null;
  }
}
