/** What a model process finds when it begins, its environment and its folders, and in what words its end is told. */
import { type ChildProcess, spawn } from "node:child_process";
import { chownSync, mkdirSync } from "node:fs";
import { constants } from "node:os";
import { hiddenSecrets } from "./hidden-secrets.ts";
import type { ProcessOptions } from "./model-process.ts";
import type { Origin } from "./prediction.ts";

/** What isolates a process tells the signal that ended it by a code from here on, as shells do. */
const SIGNAL_CODES = 128;

/** What the loader of a program goes by, which would run a model's code in the program that isolates it. */
const LOADERS = /^(LD_.*|GLIBC_TUNABLES|GCONV_PATH|LOCPATH|MALLOC_.*)$/;

/** Throws what the system refuses otherwise than for want of the program, or of handles: too long an environment. */
export function startProcess(options: ProcessOptions, origin: Origin): ChildProcess {
  const [command, ...args] = commandOf(options);
  return spawn(command, args, {
    cwd: options.modelDir,
    detached: true,
    env: environmentOf(options, origin),
    stdio: ["ignore", "pipe", "pipe", "pipe", ...Array.from({ length: options.slots }, () => "pipe" as const)],
  });
}

/** The command of a process, which enters its group first, then what isolates it. */
export function commandOf(options: ProcessOptions): [string, ...string[]] {
  const [enter, ...rest] = options.group?.command ?? [];
  const command = isolatedCommandOf(options);
  return enter === undefined ? command : [enter, ...rest, ...command];
}

/** What its model says to the loader is said to the interpreter alone. */
function isolatedCommandOf({ jail, python, childModule, env }: ProcessOptions): [string, ...string[]] {
  const child: [string, ...string[]] = [python, "-u", "-m", childModule];
  const [first, ...rest] = jail?.command ?? [];
  if (first === undefined) return child;
  const said = Object.entries(env).flatMap(([name, value]) => (LOADERS.test(name) ? [`${name}=${value}`] : []));
  return [first, ...rest, ...(said.length === 0 ? [] : ["/usr/bin/env", ...said]), ...child];
}

function withoutLoaders(env: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !LOADERS.test(name)));
}

/** The pool's environment without its secrets, and what python/PROTOCOL.md names. */
export function environmentOf(options: ProcessOptions, origin: Origin): Record<string, string | undefined> {
  return {
    ...process.env,
    ...(options.jail === null ? options.env : withoutLoaders(options.env)),
    ...options.jail?.env,
    PYTHONPATH: joined(options.childPath, options.env["PYTHONPATH"] ?? process.env["PYTHONPATH"]),
    ...hiddenSecrets,
    EDGEPLANE_MODEL_DIR: options.modelDir,
    EDGEPLANE_SLOTS: String(options.slots),
    EDGEPLANE_RUNS_AHEAD: String(options.runsAhead ?? 0),
    EDGEPLANE_SCRATCH_DIR: options.scratchDir,
    EDGEPLANE_FILE_MARK: origin.fileMark,
    EDGEPLANE_ISOLATED: options.jail === null ? undefined : "1",
    CUDA_VISIBLE_DEVICES: options.cudaVisibleDevices,
    // Devices are numbered as nvidia-smi does it.
    CUDA_DEVICE_ORDER: "PCI_BUS_ID",
  };
}

/**
 * Folders of the process alone; where it is another user, that user's. The outer one is given away last: until then no
 * other process of that user can put a link in the place of what lies in it.
 */
export function makeScratch({ scratchDir, jail }: ProcessOptions): void {
  const folders = jail === null ? [scratchDir] : [scratchDir, jail.tempDir];
  for (const folder of folders) mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (jail?.owner) for (const folder of folders.toReversed()) chownSync(folder, jail.owner.uid, jail.owner.gid);
}

export function howItEnded(code: number | null, signal: NodeJS.Signals | null, options: ProcessOptions): string {
  const { group, jail } = options;
  if (group?.ranOut() === true)
    return `out of memory: it used all of the ${group.bytes} bytes that it may use (memoryBytes)`;
  const byCode = Object.entries(constants.signals).find(([, number]) => code === SIGNAL_CODES + number)?.[0];
  const ended = signal ?? (jail === null ? undefined : byCode);
  return ended === undefined ? `it exited with code ${code}` : `it was ended by ${ended}`;
}

function joined(first: string, rest: string | undefined): string {
  return rest === undefined || rest === "" ? first : `${first}:${rest}`;
}
