/**
 * The lock of a state folder: a file that names the processes of the stack that uses it. Its supervisor takes it before
 * anything starts; who finds a lock whose supervisor is dead ends what that one left behind, and nothing else.
 */
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import { endProcess, isRunning, ProcessRefSchema, refOf } from "./process-info.ts";
import type { ProcessRef } from "./process-info.ts";
import { StackError } from "./stack-error.ts";

const LockSchema = z.object({
  port: z.number().int(),
  supervisor: ProcessRefSchema,
  processes: z.array(ProcessRefSchema),
});
type Lock = z.infer<typeof LockSchema>;

export type StackLock = {
  /** Records a process that must not outlive the stack. */
  add(name: string, pid: number): void;
  release(): void;
};

/**
 * Takes the lock of `stateDir`, after ending the orphans that an earlier stack left there; `onOrphan` hears of each.
 * Throws `StackError` when another stack holds it.
 */
export async function takeLock(
  stateDir: string,
  port: number,
  onOrphan: (ref: ProcessRef) => void,
): Promise<StackLock> {
  const path = join(stateDir, "lock.json");
  const supervisor = refOf("supervisor", process.pid);
  if (supervisor === null) throw new StackError("the system's process table can't be read (is /proc there?).");
  const lock: Lock = { port, supervisor, processes: [] };
  const write = () => {
    writeFileSync(`${path}.new`, JSON.stringify(lock, null, 2), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  };
  while (!claim(path, lock)) {
    const text = readText(path);
    const earlier = parseLock(text);
    if (earlier !== null) await clear(earlier, supervisor, onOrphan);
    discard(path, text);
  }
  return {
    add(name, pid) {
      const ref = refOf(name, pid);
      if (ref === null) return;
      lock.processes = [...lock.processes.filter(isRunning), ref];
      write();
    },
    release() {
      const held = parseLock(readText(path))?.supervisor;
      if (held?.pid === supervisor.pid && held.startedAt === supervisor.startedAt) rmSync(path, { force: true });
    },
  };
}

/** Makes the lock, whole, unless one is there: of two starts at once only one gets it. */
function claim(path: string, lock: Lock): boolean {
  const own = `${path}.${process.pid}`;
  writeFileSync(own, JSON.stringify(lock, null, 2), { mode: 0o600 });
  try {
    linkSync(own, path);
    return true;
  } catch (error) {
    if (isErrno(error, "EEXIST")) return false;
    return claimWithoutLinks(path, lock);
  } finally {
    rmSync(own, { force: true });
  }
}

/** For file systems without hard links. */
function claimWithoutLinks(path: string, lock: Lock): boolean {
  try {
    writeFileSync(path, JSON.stringify(lock, null, 2), { mode: 0o600, flag: "wx" });
    return true;
  } catch (error) {
    if (isErrno(error, "EEXIST")) return false;
    throw error;
  }
}

/** Takes away the lock that reads `seen`, and no other: another start may have made its own since. */
function discard(path: string, seen: string): void {
  const aside = `${path}.${process.pid}.old`;
  try {
    renameSync(path, aside);
  } catch {
    return;
  }
  try {
    if (readText(aside) !== seen) linkSync(aside, path);
  } finally {
    rmSync(aside, { force: true });
  }
}

function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

async function clear(earlier: Lock, self: ProcessRef, onOrphan: (ref: ProcessRef) => void): Promise<void> {
  if (earlier.supervisor.pid !== self.pid && isRunning(earlier.supervisor)) {
    throw new StackError(
      `a stack runs already on port ${earlier.port} (process ${earlier.supervisor.pid}); stop that one first, or choose another folder with EDGEPLANE_STATE_DIR.`,
    );
  }
  for (const ref of earlier.processes) if (await endProcess(ref)) onOrphan(ref);
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** Null for a text that is no lock. */
function parseLock(text: string): Lock | null {
  try {
    return LockSchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}
