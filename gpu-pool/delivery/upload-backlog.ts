/**
 * What models made and the edge lacks: bytes of outputs that wait here for their upload. A GPU that is faster than the
 * uplink would fill the disk: at the limit the pool takes nothing more that makes files, and goes on when half is gone.
 *
 *   open ── limit reached ──▶ full (problem) ── half of it is left ──▶ open
 */
import { statSync } from "node:fs";
import { rm, rmdir } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { dropConfined } from "../transport/confined-file.ts";

export type UploadBacklogOptions = {
  limitBytes: number;
  /** The problem came or went. */
  onChange(): void;
};

const AGAIN_BELOW = 0.5;
/** As a process names them (python/edgeplane_child/files.py). */
const OWN_FOLDER = /^\d+-\d+$/;

/** What one report holds here until it is uploaded. */
export type Waiting = {
  readonly keys: readonly string[];
  readonly files: readonly string[];
  /** The scratch folder of an isolated process, which may have put links into the place of its files. */
  readonly confinedTo: string | null;
};

export class UploadBacklog {
  readonly #options: UploadBacklogOptions;
  readonly #sizes = new Map<string, number>();
  #bytes = 0;
  #values = 0;
  #isFull = false;

  constructor(options: UploadBacklogOptions) {
    this.#options = options;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Why nothing more may be made that must be uploaded; null when it may. */
  get problem(): string | null {
    if (!this.#isFull) return null;
    return `${this.#bytes} bytes of outputs wait for their upload here, and ${this.#options.limitBytes} may`;
  }

  /**
   * A value waits for its upload: `files` that the process left in its own folder, and `bytes` of JSON in memory. What
   * is named a second time counts once.
   */
  add(files: readonly string[], bytes: number, confinedTo: string | null = null): Waiting {
    const keys: string[] = [];
    for (const file of files) if (this.#count(file, () => sizeOf(file))) keys.push(file);
    this.#values += 1;
    const inMemory = `value ${this.#values}`;
    if (bytes > 0 && this.#count(inMemory, () => bytes)) keys.push(inMemory);
    if (this.#bytes >= this.#options.limitBytes) this.#set(true);
    return { keys, files, confinedTo };
  }

  /** It was uploaded, or never will be: its files go. */
  async drop({ keys, files, confinedTo }: Waiting): Promise<void> {
    await Promise.all(files.map((file) => remove(file, confinedTo)));
    for (const key of keys) {
      this.#bytes -= this.#sizes.get(key) ?? 0;
      this.#sizes.delete(key);
    }
    if (this.#bytes <= this.#options.limitBytes * AGAIN_BELOW) this.#set(false);
  }

  #count(key: string, size: () => number): boolean {
    if (this.#sizes.has(key)) return false;
    const bytes = size();
    this.#sizes.set(key, bytes);
    this.#bytes += bytes;
    return true;
  }

  #set(isFull: boolean): void {
    if (this.#isFull === isFull) return;
    this.#isFull = isFull;
    this.#options.onChange();
  }
}

/** With the folder that its process made for it. */
async function remove(file: string, confinedTo: string | null): Promise<void> {
  if (confinedTo === null) await rm(file, { force: true }).catch(() => {});
  else await dropConfined(file, confinedTo);
  const folder = dirname(file);
  if (OWN_FOLDER.test(basename(folder))) await rmdir(folder).catch(() => {});
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}
