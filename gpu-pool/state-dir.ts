/**
 * The pool's folder on disk: one running pool at a time, the pool's name, and the places of journal, spool and scratch.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startOf } from "./runtime/process-start.ts";
import { inventName } from "./settings.ts";

export type StateDir = {
  name: string;
  /** Tells this folder's pool from every other, over all its lives. */
  id: string;
  journalPath: string;
  spoolDir: string;
  scratchDir: string;
  inputsDir: string;
  /** Keeps the session of this life, and answers that of the one before; null when there was none. */
  succeed(session: string): string | null;
  /** Lets another pool use the folder. */
  release(): void;
};

/** Another pool that runs holds this folder, or it can't be written. */
export class StateDirError extends Error {
  override readonly name = "StateDirError";
}

/** Takes the folder, making it if need be. `name` overrides the one kept there. Throws `StateDirError`. */
export function takeStateDir(path: string, name: string | undefined): StateDir {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    lock(join(path, "lock"), path);
    const kept = name ?? readText(join(path, "name")) ?? inventName();
    writeFileSync(join(path, "name"), kept);
    const id = readText(join(path, "id")) ?? crypto.randomUUID();
    writeFileSync(join(path, "id"), id);
    const scratchDir = join(path, "scratch");
    rmSync(scratchDir, { recursive: true, force: true });
    const inputsDir = join(scratchDir, "inputs");
    mkdirSync(inputsDir, { recursive: true, mode: 0o700 });
    return {
      name: kept,
      id,
      journalPath: join(path, "held.jsonl"),
      spoolDir: join(path, "spool"),
      scratchDir,
      inputsDir,
      succeed(session) {
        const before = readText(join(path, "session")) ?? null;
        writeFileSync(join(path, "session"), session);
        return before;
      },
      release: () => rmSync(join(path, "lock"), { force: true }),
    };
  } catch (error) {
    if (error instanceof StateDirError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new StateDirError(`the state folder ${path} can't be used (${why}): choose another with --state-dir`);
  }
}

function lock(file: string, path: string): void {
  const holder = readText(file)?.split(" ");
  const [pid, startedAt] = holder ?? [];
  if (
    pid !== undefined &&
    Number(pid) !== process.pid &&
    startOf(Number(pid)) === startedAt &&
    startedAt !== undefined
  ) {
    throw new StateDirError(`another pool (process ${pid}) uses ${path}: stop it, or choose another --state-dir`);
  }
  writeFileSync(file, `${process.pid} ${startOf(process.pid) ?? "unknown"}`);
}

function readText(path: string): string | undefined {
  try {
    const text = readFileSync(path, "utf8").trim();
    return text === "" ? undefined : text;
  } catch {
    return undefined;
  }
}
