/**
 * What a model's processes take of the host: memory and disk. One that takes more than its model may is ended, before
 * the host's own killer picks another's.
 */
import { readdirSync, readFileSync } from "node:fs";
import { runCommand } from "./environments/command.ts";

export type UseLimits = {
  /** Of the process and all that it started; null: no limit. */
  memoryBytes: number | null;
  /** Of its scratch folder, temporary files included; null: no limit. */
  scratchBytes: number | null;
};

/** A folder is measured with every so manieth look: that takes a walk through it. */
const LOOKS_A_MEASURE = 5;
const MEASURE_TIMEOUT_MS = 30_000;

export class UseWatch {
  readonly #limits: UseLimits;
  readonly #scratchDir: string;
  #looks = 0;
  #scratchBytes = 0;
  #isMeasuring = false;

  constructor(limits: UseLimits = { memoryBytes: null, scratchBytes: null }, scratchDir = "") {
    this.#limits = limits;
    this.#scratchDir = scratchDir;
  }

  /** Looks; says why the group that `leader` leads must end, or null. Called about once a second. */
  problem(leader: number | undefined): string | null {
    const { memoryBytes, scratchBytes } = this.#limits;
    if (scratchBytes !== null) {
      this.#looks += 1;
      if (this.#looks % LOOKS_A_MEASURE === 0) void this.#measure();
      if (this.#scratchBytes > scratchBytes)
        return `its scratch folder holds ${this.#scratchBytes} bytes, and may hold ${scratchBytes} (scratchBytes)`;
    }
    if (memoryBytes === null || leader === undefined) return null;
    const used = memoryOf(leader);
    return used > memoryBytes ? `out of memory: it uses ${used} bytes, and may use ${memoryBytes} (memoryBytes)` : null;
  }

  async #measure(): Promise<void> {
    if (this.#isMeasuring) return;
    this.#isMeasuring = true;
    const { stdout } = await runCommand("du", ["-sk", this.#scratchDir], { timeoutMs: MEASURE_TIMEOUT_MS });
    this.#scratchBytes = Number(/^(\d+)/.exec(stdout)?.[1] ?? 0) * 1024;
    this.#isMeasuring = false;
  }
}

type Process = { pid: number; parent: number; group: number };

/**
 * The memory of a process, of what it started, and of its group, without pages of files: the system takes those back
 * when it needs them. 0 outside Linux.
 */
export function memoryOf(leader: number): number {
  const all = processes();
  const family = new Set([leader]);
  // What a process started has a greater number, until numbers begin anew: a second round finds those.
  for (let round = 0; round < 2; round += 1)
    for (const { pid, parent, group } of all) if (group === leader || family.has(parent)) family.add(pid);
  let bytes = 0;
  for (const pid of family) bytes += ownBytes(pid);
  return bytes;
}

function processes(): Process[] {
  let names: string[];
  try {
    names = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
  return names.flatMap((name) => {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      const [, parent, group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return [{ pid: Number(name), parent: Number(parent), group: Number(group) }];
    } catch {
      return [];
    }
  });
}

function ownBytes(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const found = status.matchAll(/^(?:RssAnon|RssShmem|VmSwap):\s+(\d+) kB$/gm);
    return [...found].reduce((sum, [, kibibytes]) => sum + Number(kibibytes) * 1024, 0);
  } catch {
    return 0;
  }
}
