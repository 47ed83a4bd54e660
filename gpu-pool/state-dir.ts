/**
 * The pool's folder on disk: one running pool at a time, the pool's name, and the places of journal, spool and scratch.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tryLock } from "./runtime/host-lock.ts";
import type { HostLock } from "./runtime/host-lock.ts";
import { inventName } from "./settings.ts";

export type StateDir = {
  name: string;
  /** Tells this folder's pool from every other, over all its lives. */
  id: string;
  journalPath: string;
  spoolDir: string;
  /** Where what was measured is kept until the edge has it. */
  usagePath: string;
  scratchDir: string;
  inputsDir: string;
  /** Below it isolated models have their homes. */
  homesDir: string;
  /** Lets other users pass through to what belongs to them: a scratch folder, a home. */
  openToOthers(): void;
  /** Keeps the session of this life, and answers that of the one before; null when there was none. */
  succeed(session: string): string | null;
  /** Lets another pool use the folder. */
  release(): void;
};

const OWN = { mode: 0o600 };

/** Another pool that runs holds this folder, or it can't be written. */
export class StateDirError extends Error {
  override readonly name = "StateDirError";
}

/** Takes the folder, making it if need be. `name` overrides the one kept there. Throws `StateDirError`. */
export function takeStateDir(path: string, name: string | undefined): StateDir {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const lock = lockFolder(path);
    const kept = name ?? readText(join(path, "name")) ?? inventName();
    writeFileSync(join(path, "name"), kept, OWN);
    const id = readText(join(path, "id")) ?? crypto.randomUUID();
    writeFileSync(join(path, "id"), id, OWN);
    const scratchDir = join(path, "scratch");
    // Not by Node, which follows what a model may have put in a folder's place meanwhile.
    spawnSync("rm", ["-rf", "--", scratchDir]);
    const inputsDir = join(scratchDir, "inputs");
    const homesDir = join(path, "homes");
    mkdirSync(inputsDir, { recursive: true, mode: 0o700 });
    return {
      name: kept,
      id,
      journalPath: join(path, "held.jsonl"),
      spoolDir: join(path, "spool"),
      usagePath: join(path, "usage.json"),
      scratchDir,
      inputsDir,
      homesDir,
      openToOthers() {
        mkdirSync(homesDir, { recursive: true });
        for (const folder of [path, scratchDir, homesDir]) chmodSync(folder, 0o711);
      },
      succeed(session) {
        const before = readText(join(path, "session")) ?? null;
        writeFileSync(join(path, "session"), session, OWN);
        return before;
      },
      release: () => lock.release(),
    };
  } catch (error) {
    if (error instanceof StateDirError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new StateDirError(`the state folder ${path} can't be used (${why}): choose another with --state-dir`);
  }
}

/** The kernel's lock says whether another pool runs; the file beside it, which one. */
function lockFolder(path: string): HostLock {
  const held = tryLock(join(path, "pool.lock"), "exclusive");
  const whose = join(path, "pool.pid");
  if (held === null) {
    const pid = readText(whose);
    const holder = pid === undefined ? "another pool" : `another pool (process ${pid})`;
    throw new StateDirError(`${holder} uses ${path}: stop it, or choose another --state-dir`);
  }
  writeFileSync(whose, String(process.pid), OWN);
  return held;
}

function readText(path: string): string | undefined {
  try {
    const text = readFileSync(path, "utf8").trim();
    return text === "" ? undefined : text;
  } catch {
    return undefined;
  }
}
