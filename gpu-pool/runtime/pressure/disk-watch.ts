/**
 * How much is free on the disk of the state folder: inputs, outputs and finished results all go there. Below the least
 * that should be free the pool begins nothing more, until there is space again.
 *
 *   well ── less free than the least ──▶ low (problem) ── an eighth more than the least is free ──▶ well
 */
import { statfs } from "node:fs/promises";
import type { Clock } from "../../scheduling/clock.ts";

const LOOK_EVERY_MS = 1000;
const MAKE_SPACE_EVERY_MS = 30_000;
/** A file system without a limit of files says 0 of all of them. */
const LEAST_FREE_FILES = 256;

/** What of a file system is free; `files` is Infinity where it counts none. */
export type FreeSpace = { bytes: number; files: number };

export type DiskWatchOptions = {
  clock: Clock;
  folder: string;
  /** The least that should be free, in bytes; 0: the disk is not watched. */
  leastBytes: number;
  /** The problem came, changed or went. */
  onChange(): void;
  /** So many bytes more should be free; asked every 30 s while they are not. What it frees is seen at the next look. */
  makeSpace?(bytes: number): void;
  measure?: (folder: string) => Promise<FreeSpace>;
};

export class DiskWatch {
  /** Why nothing more may be begun; null while there is space. */
  problem: string | null = null;
  /** What was free at the last look; null before the first, and where nobody can tell. */
  freeBytes: number | null = null;
  readonly #options: DiskWatchOptions;
  #stop: () => void = () => {};
  #makeSpaceFromMs = -Infinity;

  constructor(options: DiskWatchOptions) {
    this.#options = options;
  }

  /** Looks now. A file system that can't be asked is taken to have space: what it refuses is seen when it refuses. */
  async look(): Promise<void> {
    const { folder, leastBytes, measure = freeSpaceOf, onChange } = this.#options;
    const space = await measure(folder).catch(() => null);
    this.freeBytes = space?.bytes ?? null;
    const before = this.problem;
    const enoughBytes = leastBytes * (before === null ? 1 : 9 / 8);
    const isLow = leastBytes > 0 && space !== null && (space.bytes < enoughBytes || space.files < LEAST_FREE_FILES);
    this.problem = isLow ? problemOf(space, leastBytes) : null;
    if (isLow) this.#askForSpace(Math.max(0, (leastBytes * 9) / 8 - space.bytes));
    if ((before === null) !== (this.problem === null)) onChange();
  }

  #askForSpace(bytes: number): void {
    const nowMs = this.#options.clock.nowMs();
    if (nowMs < this.#makeSpaceFromMs) return;
    this.#makeSpaceFromMs = nowMs + MAKE_SPACE_EVERY_MS;
    this.#options.makeSpace?.(bytes);
  }

  /** Looks again and again, from now on. */
  start(): void {
    if (this.#options.leastBytes === 0) return;
    this.#stop = this.#options.clock.after(LOOK_EVERY_MS, () => void this.look().then(() => this.start()));
  }

  stop(): void {
    this.#stop();
  }
}

async function freeSpaceOf(folder: string): Promise<FreeSpace> {
  const { bavail, bsize, files, ffree } = await statfs(folder);
  return { bytes: bavail * bsize, files: files === 0 ? Infinity : ffree };
}

function problemOf({ bytes, files }: FreeSpace, leastBytes: number): string {
  if (files < LEAST_FREE_FILES) return `the disk of this host's state folder takes only ${files} files more`;
  return `the disk of this host's state folder has ${mebibytes(bytes)} MiB free, less than ${mebibytes(leastBytes)} MiB`;
}

function mebibytes(bytes: number): number {
  return Math.floor(bytes / 1024 ** 2);
}
