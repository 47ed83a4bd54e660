/**
 * Takes environments away that the disk budget has no room for, those first whose last use is longest ago, and never
 * one that a process of any pool uses; and what builds left that were broken off.
 */
import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { tryLock } from "../host-lock.ts";
import { BUILD, GONE, linkedBuild, lockOf, noteFileOf, noteOn, removeBuild } from "./store.ts";

type Build = { name: string; dir: string; sizeBytes: number; lastUsedMs: number };

export type Collected = {
  removed: number;
  freedBytes: number;
  /** Those that stay. */
  keptBytes: number;
  /** Why one of them could not be taken away; null where each could that was to be. */
  problem: string | null;
};

/** `budgetBytes`: what all environments may take; 0 keeps only those in use. */
export async function collectEnvironments(root: string, budgetBytes: number): Promise<Collected> {
  const collected: Collected = { removed: 0, freedBytes: 0, keptBytes: 0, problem: null };
  const remove = async (name: string, dir: string): Promise<boolean> =>
    removeUnused(root, name, dir).catch((error: unknown) => {
      collected.problem ??= error instanceof Error ? error.message : String(error);
      return false;
    });
  const whole: Build[] = [];
  const names = await readdir(root).catch(() => []);
  for (const entry of names) {
    if (entry.startsWith(GONE)) await rm(join(root, entry), { recursive: true, force: true });
    const name = BUILD.exec(entry)?.[1];
    if (name === undefined) continue;
    const dir = join(root, entry);
    const note = (await linkedBuild(root, name)) === dir ? await noteOn(dir) : null;
    if (note === null) await remove(name, dir);
    else whole.push({ name, dir, sizeBytes: note.sizeBytes, lastUsedMs: await lastUsedMs(dir) });
  }
  for (const { name, dir } of straysAmong(root, names)) await remove(name, dir);
  collected.keptBytes = whole.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  for (const { name, dir, sizeBytes } of whole.toSorted((a, b) => a.lastUsedMs - b.lastUsedMs)) {
    if (collected.keptBytes <= budgetBytes) break;
    if (!(await remove(name, dir))) continue;
    collected.removed += 1;
    collected.freedBytes += sizeBytes;
    collected.keptBytes -= sizeBytes;
  }
  return collected;
}

async function lastUsedMs(dir: string): Promise<number> {
  return (await stat(noteFileOf(dir)).catch(() => null))?.mtimeMs ?? 0;
}

/** Unless somebody builds under this name, or uses this build. Whether it is gone. */
async function removeUnused(root: string, name: string, dir: string): Promise<boolean> {
  const naming = tryLock(lockOf(root, name), "exclusive");
  if (naming === null) return false;
  try {
    return await removeBuild(root, name, dir);
  } finally {
    naming.release();
  }
}

/** Builds that are gone and left their locks, or links that were never put in place. */
function straysAmong(root: string, names: readonly string[]): { name: string; dir: string }[] {
  return names.flatMap((entry) => {
    const build = /^(.+\.[0-9a-f]{8})\.(?:use|link)$/.exec(entry)?.[1];
    const name = build === undefined ? undefined : BUILD.exec(build)?.[1];
    const isStray = build !== undefined && name !== undefined && !names.includes(build);
    return isStray ? [{ name, dir: join(root, build) }] : [];
  });
}

/** Takes away, of what nobody uses, so much that `bytes` more are free; no more than that, if there is enough. */
export async function freeEnvironments(root: string, bytes: number): Promise<Collected> {
  const { keptBytes } = await collectEnvironments(root, Infinity);
  return collectEnvironments(root, Math.max(0, keptBytes - bytes));
}
