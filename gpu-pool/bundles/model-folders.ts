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
  #begun: Promise<HostLock> | null = null;
  /** Being made, or taken away. */
  readonly #underway = new Set<Promise<unknown>>();
  #isClosed = false;

  constructor(root: string, pool: string) {
    this.#root = join(root, "folders");
    this.#pool = pool;
    this.#own = join(this.#root, pool);
  }

  /** A folder for a life of this version. Throws once it is closed. */
  async make(version: string): Promise<string> {
    return this.#during(async () => {
      this.#begun ??= this.#begin().catch((error: unknown) => {
        this.#begun = null;
        throw error;
      });
      await this.#begun;
      if (this.#isClosed) throw new Error("this pool ends: it makes no folder for another model");
      const folder = join(this.#own, `${version.slice(0, 16)}.${randomBytes(8).toString("hex")}`);
      await mkdir(folder, { mode: 0o755 });
      return folder;
    });
  }

  /** Nothing of it runs any more. */
  async remove(folder: string): Promise<void> {
    await this.#during(async () => removeAll(folder));
  }

  /** The pool ends: no folder is made from now on, and those that are there go. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    while (this.#underway.size > 0) await Promise.allSettled(this.#underway);
    const lock = await this.#begun?.catch(() => null);
    if (lock === undefined || lock === null) return;
    await removeAll(this.#own);
    lock.release();
  }

  async #during<T>(work: () => Promise<T>): Promise<T> {
    const promise = work();
    this.#underway.add(promise);
    try {
      return await promise;
    } finally {
      this.#underway.delete(promise);
    }
  }

  async #begin(): Promise<HostLock> {
    await mkdir(this.#root, { recursive: true, mode: PASSAGE });
    for (const name of await readdir(this.#root)) {
      if (name.endsWith(".lock")) continue;
      const lock = tryLock(this.#lockOf(name), "exclusive");
      if (lock === null) continue;
      await removeAll(join(this.#root, name));
      lock.release();
    }
    // Another pool of the host may be clearing away what this one's life before left.
    const lock = await takeLock(this.#lockOf(this.#pool));
    try {
      await mkdir(this.#own, { recursive: true, mode: PASSAGE });
    } catch (error) {
      lock.release();
      throw error;
    }
    return lock;
  }

  #lockOf(pool: string): string {
    return join(this.#root, `${pool}.lock`);
  }
}

/** Not by Node, which follows what a model may put in a folder's place meanwhile. */
async function removeAll(folder: string): Promise<void> {
  await run("rm", ["-rf", "--", folder]).catch(() => {});
}
