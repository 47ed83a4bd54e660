/**
 * The lock of a state folder: a file that names the processes of the stack that uses it. Its supervisor takes it before anything
 * starts; who finds a lock whose supervisor is dead ends what that one left behind, and nothing else.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
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
 * Takes the lock of `stateDir`, after ending the orphans that an earlier stack left there; `onOrphan` hears of each. Throws
 * `StackError` when another stack holds it.
 */
export async function takeLock(
  stateDir: string,
  port: number,
  onOrphan: (ref: ProcessRef) => void,
): Promise<StackLock> {
  const path = join(stateDir, "lock.json");
  const supervisor = refOf("supervisor", process.pid);
  if (supervisor === null) throw new StackError("the system's process table can't be read (is /proc there?).");
  const earlier = readLock(path);
  if (earlier !== null) await clear(earlier, supervisor, onOrphan);
  const lock: Lock = { port, supervisor, processes: [] };
  const write = () => {
    writeFileSync(`${path}.new`, JSON.stringify(lock, null, 2), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  };
  write();
  return {
    add(name, pid) {
      const ref = refOf(name, pid);
      if (ref === null) return;
      lock.processes = [...lock.processes.filter(isRunning), ref];
      write();
    },
    release: () => rmSync(path, { force: true }),
  };
}

async function clear(earlier: Lock, self: ProcessRef, onOrphan: (ref: ProcessRef) => void): Promise<void> {
  if (earlier.supervisor.pid !== self.pid && isRunning(earlier.supervisor)) {
    throw new StackError(
      `a stack runs already on port ${earlier.port} (process ${earlier.supervisor.pid}); stop that one first, or choose another folder with EDGEPLANE_STATE_DIR.`,
    );
  }
  for (const ref of earlier.processes) if (await endProcess(ref)) onOrphan(ref);
}

function readLock(path: string): Lock | null {
  try {
    return LockSchema.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch {
    return null;
  }
}
