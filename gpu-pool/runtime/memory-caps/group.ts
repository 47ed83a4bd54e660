/**
 * One cgroup with a limit of memory. Source of its files: Linux, Documentation/admin-guide/cgroup-v2.rst, "Memory
 * Interface Files".
 */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { rmdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { MemoryGroup } from "./types.ts";

/** What the groups of models are called; behind it `SPACE.PID-`, the number of their pool and where that is one. */
export const MEMORY_GROUP = "edgeplane-model-";

const LOOK_AGAIN_MS = 200;
const MOST_LOOKS = 50;

/** Makes it. Throws where the system doesn't. */
export function memoryGroup(dir: string, bytes: number): MemoryGroup {
  mkdirSync(dir);
  try {
    writeFileSync(join(dir, "memory.max"), String(bytes));
    writeFileSync(join(dir, "memory.oom.group"), "1");
  } catch (error) {
    rmdirSync(dir);
    throw error;
  }
  // Not every kernel counts swap; without this a process would go there instead of ending.
  tryToWrite(join(dir, "memory.swap.max"), "0");
  return {
    bytes,
    command: ["/bin/sh", "-c", 'echo $$ > "$0" && exec "$@"', join(dir, "cgroup.procs")],
    ranOut: () => /^oom_kill [1-9]/m.test(eventsOf(dir)),
    remove() {
      tryToWrite(join(dir, "cgroup.kill"), "1");
      void takeAway(dir);
    },
  };
}

function eventsOf(dir: string): string {
  try {
    return readFileSync(join(dir, "memory.events"), "utf8");
  } catch {
    return "";
  }
}

/** What was ended is in the group until the system has cleared it away. */
async function takeAway(dir: string): Promise<void> {
  for (let look = 0; look < MOST_LOOKS; look += 1) {
    try {
      await rmdir(dir);
      return;
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return;
    }
    await sleep(LOOK_AGAIN_MS, undefined, { ref: false });
  }
}

function tryToWrite(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch {
    // This kernel has no such file.
  }
}
