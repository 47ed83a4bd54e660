/**
 * A lock between pools of one machine, as a file that holds the process id of who has it, and when that process began:
 * in a container, or after the machine was started anew, another may have the same number.
 *
 * State: free → held by a live process → free; one whose process died is taken over.
 */
import { link, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { startOf } from "../process-start.ts";

const lookAgainMs = 200;
let counter = 0;

/** Whether who left the file is gone. One that can't be read is being given back. */
async function isLeft(path: string): Promise<boolean> {
  const text = await readFile(path, "utf8").catch(() => "");
  const [, pid, startedAt] = /^(\d+)(?: (\S+))?$/.exec(text.trim()) ?? [];
  if (pid === undefined) return false;
  const start = startOf(Number(pid));
  return start === undefined || (startedAt !== undefined && start !== startedAt);
}

async function take(path: string): Promise<boolean> {
  const own = `${path}.${process.pid}.${(counter += 1)}`;
  await writeFile(own, `${process.pid} ${startOf(process.pid) ?? "unknown"}\n`);
  try {
    await link(own, path);
    return true;
  } catch {
    return false;
  } finally {
    await rm(own, { force: true });
  }
}

/**
 * Do `work` while holding the lock at `path`. Waits as long as another live process, or another task of this one, has
 * it.
 */
export async function withLock<T>(path: string, onWait: () => void, work: () => Promise<T>): Promise<T> {
  await mkdir(dirname(path), { recursive: true });
  let told = false;
  while (!(await take(path))) {
    if (await isLeft(path)) {
      await rm(path, { force: true });
      continue;
    }
    if (!told) onWait();
    told = true;
    await sleep(lookAgainMs);
  }
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
  }
}
