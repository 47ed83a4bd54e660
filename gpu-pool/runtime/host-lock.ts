/**
 * A lock between the processes of a host, on a file. The kernel holds it (SQLite's locks, which are `fcntl`'s), and
 * takes it back when the process ends, however it ends: there is none to be taken over, and none to be checked.
 *
 * The file is empty and stays. Never open it by other means: a process that closes a file loses its locks on it.
 * The journal is kept in memory: a lock writes nothing, so that it can be had on a disk that is full.
 * Source: https://sqlite.org/lockingv3.html; a read transaction holds SHARED, `BEGIN EXCLUSIVE` holds EXCLUSIVE.
 */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";

export type HostLock = {
  /** Once is enough; more changes nothing. */
  release(): void;
};

const LOOK_AGAIN_MS = 100;
const BUSY = 5;

const statements = {
  exclusive: "PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE",
  shared: "BEGIN; SELECT count(*) FROM sqlite_schema",
} as const;

/** One that is collected as garbage is closed, and its lock with it. */
const held = new Set<DatabaseSync>();

/**
 * Takes the lock, unless another process, or another task of this one, has it in a way that excludes this: then null.
 * Throws where the file can't be made.
 */
export function tryLock(path: string, how: keyof typeof statements): HostLock | null {
  mkdirSync(dirname(path), { recursive: true });
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    database.exec(statements[how]);
  } catch (error) {
    database.close();
    if (error instanceof Error && "errcode" in error && error.errcode === BUSY) return null;
    throw error;
  }
  held.add(database);
  return {
    release() {
      if (held.delete(database)) database.close();
    },
  };
}

/** Do `work` while holding the lock alone. Waits as long as somebody else has it; `onWait` hears of that once. */
export async function withLock<T>(path: string, onWait: () => void, work: () => Promise<T>): Promise<T> {
  const lock = await takeLock(path, onWait);
  try {
    return await work();
  } finally {
    lock.release();
  }
}

/** Takes the lock alone, as soon as nobody else has it. `onWait` hears once that somebody does. */
export async function takeLock(path: string, onWait: () => void = () => {}): Promise<HostLock> {
  let lock = tryLock(path, "exclusive");
  if (lock === null) onWait();
  while (lock === null) {
    await sleep(LOOK_AGAIN_MS);
    lock = tryLock(path, "exclusive");
  }
  return lock;
}
