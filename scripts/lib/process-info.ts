/** Tells one process from another that later got its number: by pid and start time. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import * as z from "zod";

export const ProcessRefSchema = z.object({ name: z.string(), pid: z.number().int().positive(), startedAt: z.string() });
export type ProcessRef = z.infer<typeof ProcessRefSchema>;

/** When process `pid` began, as an opaque text that no other process of that number has; null when it doesn't run. */
export function startTimeOf(pid: number): string | null {
  try {
    if (process.platform !== "linux") {
      return execFileSync("ps", ["-o", "lstart=", "-p", String(pid)], { encoding: "utf8" }).trim() || null;
    }
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // proc(5): the command in parentheses may hold anything; the state is the 3rd field, the start time the 22nd.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? null : (fields[19] ?? null);
  } catch {
    return null;
  }
}

/** Names a running process for later; null when it is gone already. */
export function refOf(name: string, pid: number): ProcessRef | null {
  const startedAt = startTimeOf(pid);
  return startedAt === null ? null : { name, pid, startedAt };
}

/** Whether exactly that process still runs. */
export function isRunning(ref: ProcessRef): boolean {
  return startTimeOf(ref.pid) === ref.startedAt;
}

/** Kills exactly that process, and its group where it leads one; resolves once it is gone. True when it was there. */
export async function endProcess(ref: ProcessRef): Promise<boolean> {
  if (!isRunning(ref)) return false;
  kill(-ref.pid);
  kill(ref.pid);
  while (isRunning(ref)) await new Promise((resolve) => setTimeout(resolve, 10));
  return true;
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It is gone, or leads no group.
  }
}
