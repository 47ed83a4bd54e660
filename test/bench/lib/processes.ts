/** CPU time and memory of processes, from /proc. */
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";

const ticksPerSecond = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

export type Usage = { cpuMs: number; rssBytes: number };

/** User and system time of a process so far, and its resident memory. Zeros when it is gone. */
export function usageOf(pid: number): Usage {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const ticks = Number(fields[11]) + Number(fields[12]);
    const pages = Number(fields[21]);
    return { cpuMs: (ticks / ticksPerSecond) * 1000, rssBytes: pages * 4096 };
  } catch {
    return { cpuMs: 0, rssBytes: 0 };
  }
}

const SAMPLE_MS = 50;

/** The most memory that a process has had until `stop`, looked at 20 times a second. */
export function watchMemory(pid: number): { stop(): number } {
  let peak = 0;
  const look = (): void => void (peak = Math.max(peak, usageOf(pid).rssBytes));
  const timer = setInterval(look, SAMPLE_MS);
  look();
  return {
    stop() {
      clearInterval(timer);
      look();
      return peak;
    },
  };
}

/** The processes that a process started, and theirs. */
export function descendantsOf(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
    } catch {
      continue;
    }
  }
  const found: number[] = [];
  const look = (parent: number) => {
    for (const [child, itsParent] of parents) {
      if (itsParent !== parent) continue;
      found.push(child);
      look(child);
    }
  };
  look(pid);
  return found;
}

/** CPU time of groups of processes between now and the call of the returned function, in milliseconds. */
export function measureCpu<Name extends string>(groups: Record<Name, readonly number[]>): () => Record<Name, number> {
  const total = (pids: readonly number[]) => pids.reduce((sum, pid) => sum + usageOf(pid).cpuMs, 0);
  const names = Object.keys(groups) as Name[];
  const before = new Map(names.map((name) => [name, total(groups[name])]));
  return () =>
    Object.fromEntries(names.map((name) => [name, total(groups[name]) - (before.get(name) ?? 0)])) as Record<
      Name,
      number
    >;
}
