/**
 * Finds where this pool may make groups of processes with a limit of memory, by cgroup v2:
 *
 *   its own cgroup, where nobody else is in it (a service with systemd's `Delegate=memory`)
 *   ── else ──▶ the root, for who may (root on a host) ── else ──▶ its own, in a container ── else ──▶ the watchdog
 *
 * A cgroup that hands a controller down may hold no processes itself, but for the root: the pool moves into a group
 * beside those of its models first. Source: Linux, Documentation/admin-guide/cgroup-v2.rst, "No Internal Process
 * Constraint", "Delegation".
 */
import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmdirSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { MEMORY_GROUP, memoryGroup } from "./group.ts";
import { watchdog } from "./types.ts";
import type { MemoryCaps } from "./types.ts";

/** Where the pool moves, beside the groups of its models. */
const ASIDE = "edgeplane-pool";
/** An empty group of another container is left alone for so long. */
const OLD_MS = 3_600_000;

export type CgroupPlace = {
  /** Where cgroup v2 is mounted; null: nowhere. */
  root: string | null;
  /** The pool's own group, as a path below that. */
  own: string;
};

/** Of this process. */
export function cgroupPlace(): CgroupPlace {
  const mounts = textOf("/proc/self/mounts").split("\n");
  const [, root] = mounts.map((line) => line.split(" ")).find(([, , type]) => type === "cgroup2") ?? [];
  const own = /^0::(.+)$/m.exec(textOf("/proc/self/cgroup"))?.[1];
  return { root: root ?? null, own: own ?? "/" };
}

export function openMemoryCaps({ root, own }: CgroupPlace = cgroupPlace(), space = pidSpace()): MemoryCaps {
  if (root === null) return watchdog("this host has no cgroup v2");
  // A pool that is started again by the shell around it begins where the one before had moved both.
  const led = basename(own) === ASIDE ? dirname(own) : own;
  const ownDir = led === "/" ? root : join(root, led);
  const tries: (() => void)[] = [() => handDown(ownDir, "alone"), () => handDown(root, "root")];
  // In a container its root is not the system's, and all that is in it belongs together.
  if (own === "/") tries.push(() => handDown(root, "family"));
  const whys: string[] = [];
  for (const [index, attempt] of tries.entries()) {
    const dir = index === 0 ? ownDir : root;
    try {
      attempt();
      takeAwayStale(dir, space);
      return {
        kind: "cgroup",
        why: null,
        group: (name, bytes) => memoryGroup(join(dir, `${MEMORY_GROUP}${space}.${process.pid}-${name}`), bytes),
      };
    } catch (error) {
      whys.push(error instanceof Error ? error.message : String(error));
    }
  }
  return watchdog([...new Set(whys)].join("; "));
}

/** Sees to it that groups below this one may have a limit of memory. Throws with the reason where that can't be. */
function handDown(dir: string, who: "alone" | "family" | "root"): void {
  if (!wordsOf(join(dir, "cgroup.controllers")).includes("memory")) throw new Error(`${dir} has no memory controller`);
  if (wordsOf(join(dir, "cgroup.subtree_control")).includes("memory")) return;
  if (who !== "root") moveAside(dir, who);
  write(join(dir, "cgroup.subtree_control"), "+memory");
}

function moveAside(dir: string, who: "alone" | "family"): void {
  const inside = wordsOf(join(dir, "cgroup.procs")).map(Number);
  const family = familyOf(process.pid, inside, who === "family");
  if (inside.some((pid) => !family.has(pid)))
    throw new Error(`other processes are in ${dir}: give the pool a cgroup of its own (systemd: Delegate=memory)`);
  const aside = join(dir, ASIDE);
  mkdirSync(aside, { recursive: true });
  for (const pid of inside) write(join(aside, "cgroup.procs"), String(pid));
}

/**
 * Which of these are a process, what it started, and the one that started it: of a service that is the shell around it.
 * With `isWide` also all above that one.
 */
function familyOf(pid: number, among: readonly number[], isWide: boolean): Set<number> {
  const family = new Set([pid]);
  const starter = parentOf(pid);
  if (starter > 1) family.add(starter);
  if (isWide) for (let parent = starter; parent > 0; parent = parentOf(parent)) family.add(parent);
  for (const one of among) {
    for (let above = one; above > 0; above = parentOf(above)) if (above === pid) family.add(one);
  }
  return family;
}

function parentOf(pid: number): number {
  const stat = textOf(`/proc/${pid}/stat`);
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1] ?? 0);
}

/**
 * Groups of pools that are gone. One that somebody is in stays: the system doesn't take it away. A container may see
 * the groups of another, whose numbers of processes say nothing here: of those only what is old goes.
 */
function takeAwayStale(dir: string, space: string): void {
  const ofPool = new RegExp(`^${MEMORY_GROUP}(?:(\\d+)\\.)?(\\d+)-`);
  for (const name of readdirSync(dir)) {
    const [match, theirs, pid] = ofPool.exec(name) ?? [];
    if (match === undefined) continue;
    // What has this process' own number is of one before it: it has made none yet.
    const isGone = Number(pid) === process.pid || textOf(`/proc/${pid}/stat`) === "";
    if (theirs === space ? !isGone : !isOld(join(dir, name))) continue;
    try {
      rmdirSync(join(dir, name));
    } catch {
      // It is in use, or gone already.
    }
  }
}

/** Whether it was made so long ago that whatever should begin in it has. */
function isOld(dir: string): boolean {
  const stats = statSync(dir, { throwIfNoEntry: false });
  return stats !== undefined && stats.ctimeMs < Date.now() - OLD_MS;
}

/** Tells the numbers of processes of this container from those of others. Source: namespaces(7), `/proc/[pid]/ns/`. */
function pidSpace(): string {
  try {
    return /\d+/.exec(readlinkSync("/proc/self/ns/pid"))?.[0] ?? "0";
  } catch {
    return "0";
  }
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new Error(`${file} can't be written to (${code})`, { cause: error });
  }
}

const wordsOf = (file: string): string[] => textOf(file).split(/\s+/).filter(Boolean);

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
