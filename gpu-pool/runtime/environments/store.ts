/**
 * The virtual environments of a host, which all its pools share:
 *
 *     ROOT/NAME              a link to the build of NAME that is whole
 *     ROOT/NAME.BUILD/       a build; `edgeplane.json` in it says what it is
 *     ROOT/NAME.BUILD.use    locked (shared) by whoever uses that build
 *     ROOT/NAME.lock         locked by who builds NAME, or takes it away
 *
 * A virtual environment holds its own path, so it is built where it stays, and the link is what is swapped. A build
 * without the link is a leftover of a process that was ended.
 */
import { randomBytes } from "node:crypto";
import { utimesSync } from "node:fs";
import { readdir, readFile, readlink, rename, rm, symlink, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import * as z from "zod";
import { tryLock, withLock } from "../host-lock.ts";
import { pythonOf } from "./builder.ts";
import { runCommand } from "./command.ts";
import { probeInterpreter } from "./interpreters.ts";

/** What `edgeplane.json` says of a build. */
const CompleteSchema = z.object({
  python: z.string(),
  sizeBytes: z.number(),
  builtAt: z.string(),
  /** How long that took; 0: nobody knows. */
  buildMs: z.number().default(0),
});
export type Complete = z.infer<typeof CompleteSchema>;

/** An environment that can't be taken away before `release`. */
export type Used = { dir: string; note: Complete; release(): void };

/** The name of a build's folder: NAME.BUILD */
export const BUILD = /^(.+)\.[0-9a-f]{8}$/;
/** What a folder is called while it is deleted. */
export const GONE = ".gone-";

const SYNC_TIMEOUT_MS = 60_000;

export const lockOf = (root: string, name: string): string => join(root, `${name}.lock`);
export const useLockOf = (build: string): string => `${build}.use`;
export const noteFileOf = (build: string): string => join(build, "edgeplane.json");

/** The build that the name's link leads to; null without one. */
export async function linkedBuild(root: string, name: string): Promise<string | null> {
  const target = await readlink(join(root, name)).catch(() => null);
  return target === null ? null : join(root, basename(target));
}

/** What is noted of a build; null when it is not whole. */
export async function noteOn(build: string): Promise<Complete | null> {
  const text = await readFile(noteFileOf(build), "utf8").catch(() => null);
  if (text === null) return null;
  const note = CompleteSchema.safeParse(parsed(text));
  return note.success ? note.data : null;
}

/** A file that was cut short is none. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** The note's time is that of the last use. */
function touch(build: string): void {
  try {
    utimesSync(noteFileOf(build), new Date(), new Date());
  } catch {
    // On a disk that can't be written to nothing is taken away either.
  }
}

/** The environment, if it is there, whole and runs. */
export async function takeEnvironment(root: string, name: string): Promise<Used | null> {
  const dir = await linkedBuild(root, name);
  const note = dir === null ? null : await noteOn(dir);
  if (dir === null || note === null) return null;
  const use = tryLock(useLockOf(dir), "shared");
  // Without it somebody takes this build away.
  if (use === null) return null;
  if ((await probeInterpreter(pythonOf(dir))) === null || (await linkedBuild(root, name)) !== dir) {
    use.release();
    return null;
  }
  touch(dir);
  return usedOf(dir, note, use.release);
}

function usedOf(dir: string, note: Complete, release: () => void): Used {
  return {
    dir,
    note,
    release() {
      touch(dir);
      release();
    },
  };
}

export type BuildSteps = {
  /** Another pool, or another task of this one, builds it. */
  onWait(): void;
  /** Fills the folder, which does not exist yet. Answers its Python's version. */
  build(dir: string): Promise<string>;
  /** It is built and in use: what else there is may be too much. */
  onBuilt(sizeBytes: number): Promise<void>;
};

/** Takes the environment of this name, building it unless it is there. Of all pools of the host one builds. */
export async function useEnvironment(root: string, name: string, steps: BuildSteps): Promise<Used> {
  const there = await takeEnvironment(root, name);
  if (there !== null) return there;
  let isBuilt = false;
  const used = await withLock(lockOf(root, name), steps.onWait, async () => {
    const meanwhile = await takeEnvironment(root, name);
    if (meanwhile !== null) return meanwhile;
    isBuilt = true;
    await clearAway(root, name);
    return buildAndLink(root, name, steps);
  });
  if (isBuilt) await steps.onBuilt(used.note.sizeBytes);
  return used;
}

async function buildAndLink(root: string, name: string, steps: BuildSteps): Promise<Used> {
  const dir = join(root, `${name}.${randomBytes(4).toString("hex")}`);
  // Nobody else knows the folder yet, so it is to be had; from the link on others could take it away.
  const use = tryLock(useLockOf(dir), "shared");
  const startedAt = performance.now();
  try {
    const python = await steps.build(dir);
    const buildMs = performance.now() - startedAt;
    const note: Complete = { python, sizeBytes: await sizeOf(dir), builtAt: new Date().toISOString(), buildMs };
    await writeFile(noteFileOf(dir), `${JSON.stringify(note)}\n`);
    // What the link leads to must outlive a loss of power. Where there is no `sync -f`, the probe finds what is broken.
    await runCommand("sync", ["-f", dir], { timeoutMs: SYNC_TIMEOUT_MS });
    const link = `${dir}.link`;
    await symlink(basename(dir), link);
    await rename(link, join(root, name));
    return usedOf(dir, note, () => use?.release());
  } catch (error) {
    await rm(dir, { recursive: true, force: true });
    use?.release();
    await rm(useLockOf(dir), { force: true });
    throw error;
  }
}

/** Keeps a build that is there from being taken away, until the answer is called; null where it is going. */
export function holdBuild(dir: string): (() => void) | null {
  const use = tryLock(useLockOf(dir), "shared");
  return use === null ? null : () => use.release();
}

/** What broken-off builds of this name left, and one that doesn't run any more. Its lock must be held. */
async function clearAway(root: string, name: string): Promise<void> {
  for (const entry of await readdir(root)) {
    const build = BUILD.exec(entry);
    // What can't be taken away does no harm; whoever collects says why.
    if (build?.[1] === name) await removeBuild(root, name, join(root, entry)).catch(() => false);
  }
}

/**
 * Takes a build away unless somebody uses it; whether it is gone. The lock of its name must be held. Rejects where the
 * system doesn't let it go, and leaves its locks then.
 */
export async function removeBuild(root: string, name: string, dir: string): Promise<boolean> {
  const use = tryLock(useLockOf(dir), "exclusive");
  if (use === null) return false;
  try {
    if ((await linkedBuild(root, name)) === dir) await rm(join(root, name), { force: true });
    // Half of one must not be taken for one, should this process be ended now.
    const gone = join(root, `${GONE}${randomBytes(4).toString("hex")}`);
    await rename(dir, gone).catch(unlessMissing);
    await rm(`${dir}.link`, { force: true });
    await rm(useLockOf(dir), { force: true });
    await rm(gone, { recursive: true, force: true });
    return true;
  } finally {
    use.release();
  }
}

/** A build whose folder is gone left its locks. */
function unlessMissing(error: unknown): void {
  if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
}

/** In bytes, as the disk counts it. */
async function sizeOf(dir: string): Promise<number> {
  const result = await runCommand("du", ["-sk", dir], { timeoutMs: 30_000 });
  return Number(/^(\d+)/.exec(result.stdout)?.[1] ?? 0) * 1024;
}
