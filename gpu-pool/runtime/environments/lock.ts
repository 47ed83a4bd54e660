/**
 * A lock between pools of one machine, as a file that holds the process id of who has it.
 *
 * State: free → held by a live process → free; one whose process died is taken over.
 */
import { link, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const lookAgainMs = 200;
let counter = 0;

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

async function holderOf(path: string): Promise<number | null> {
  const text = await readFile(path, "utf8").catch(() => "");
  const pid = Number(text.trim());
  return Number.isInteger(pid) && pid > 0 ? pid : null;
}

async function take(path: string): Promise<boolean> {
  const own = `${path}.${process.pid}.${(counter += 1)}`;
  await writeFile(own, `${process.pid}\n`);
  try {
    await link(own, path);
    return true;
  } catch {
    return false;
  } finally {
    await rm(own, { force: true });
  }
}

/** Do `work` while holding the lock at `path`. Waits as long as another live process, or another task of this one, has it. */
export async function withLock<T>(path: string, onWait: () => void, work: () => Promise<T>): Promise<T> {
  await mkdir(dirname(path), { recursive: true });
  let told = false;
  while (!(await take(path))) {
    const holder = await holderOf(path);
    if (holder !== null && !isAlive(holder)) {
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
