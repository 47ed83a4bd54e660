/**
 * The folders of a pool's pushed models: `ROOT/folders/POOL/VERSION.RANDOM`. What a pool's life before left is cleared
 * away when it starts, and what pools left that are gone.
 */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { takeLock, tryLock } from "../runtime/host-lock.ts";
import type { HostLock } from "../runtime/host-lock.ts";

const run = promisify(execFile);
/** Others may pass through to a folder that they know, and list none. */
const PASSAGE = 0o711;

export class ModelFolders {
  readonly #own: string;
  readonly #root: string;
  readonly #pool: string;
  #lock: HostLock | null = null;

  constructor(root: string, pool: string) {
    this.#root = join(root, "folders");
    this.#pool = pool;
    this.#own = join(this.#root, pool);
  }

  /** A folder for a life of this version. */
  async make(version: string): Promise<string> {
    if (this.#lock === null) await this.#begin();
    const folder = join(this.#own, `${version.slice(0, 16)}.${randomBytes(8).toString("hex")}`);
    await mkdir(folder, { mode: 0o755 });
    return folder;
  }

  /** Nothing of it runs any more. */
  async remove(folder: string): Promise<void> {
    await removeAll(folder);
  }

  /** The pool ends. */
  async close(): Promise<void> {
    if (this.#lock === null) return;
    await removeAll(this.#own);
    this.#lock.release();
  }

  async #begin(): Promise<void> {
    await mkdir(this.#root, { recursive: true, mode: PASSAGE });
    for (const name of await readdir(this.#root)) {
      if (name.endsWith(".lock")) continue;
      const lock = tryLock(this.#lockOf(name), "exclusive");
      if (lock === null) continue;
      await removeAll(join(this.#root, name));
      lock.release();
    }
    // Another pool of the host may be clearing away what this one's life before left.
    this.#lock = await takeLock(this.#lockOf(this.#pool));
    await mkdir(this.#own, { recursive: true, mode: PASSAGE });
  }

  #lockOf(pool: string): string {
    return join(this.#root, `${pool}.lock`);
  }
}

/** Not by Node, which follows what a model may put in a folder's place meanwhile. */
async function removeAll(folder: string): Promise<void> {
  await run("rm", ["-rf", "--", folder]).catch(() => {});
}
