/**
 * A bundle's files as a model's folder. Small files and code are copies, which the model may change; large ones are
 * links to the host's one copy, which nobody may write to. The folder is new and holds no link that leads anywhere, and
 * the bundle's schema has refused every path that could leave it.
 */
import { chmod, constants, copyFile, link, mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { EXECUTABLE_MODE } from "../../src/contract/bundle.ts";
import type { Bundle, BundleFile } from "../../src/contract/bundle.ts";
import { isWithin } from "../transport/confined-file.ts";
import { createLimiter } from "../transport/limiter.ts";
import { contentOf } from "./contents.ts";
import type { Content, Contents } from "./contents.ts";
import { FetchProblem } from "./problems.ts";

/** What is larger, and neither code nor a program, is a weight. */
const WEIGHT_BYTES = 1024 * 1024;
const CODE = /\.(?:py|ya?ml|toml|txt|json)$/;
const MAX_CODE_BYTES = 64 * WEIGHT_BYTES;
const FILES_AT_A_TIME = 16;

/** Those that the pool needs to know the model, and those that only its process needs. */
export function layersOf({ files }: Bundle): { code: BundleFile[]; weights: BundleFile[] } {
  const weights = files.filter(isWeight);
  const isIt = new Set(weights);
  return { code: files.filter((file) => !isIt.has(file)), weights };
}

function isWeight({ path, bytes, mode }: BundleFile): boolean {
  if (bytes <= WEIGHT_BYTES) return false;
  if (mode === EXECUTABLE_MODE) return false;
  return bytes > MAX_CODE_BYTES || !CODE.test(path);
}

/** `id`: of its content, where its chunks don't tell. */
export type Placed = BundleFile & Partial<Pick<Content, "id">>;

/** Copies files of the cache into the folder. */
export async function copyInto(folder: string, files: readonly BundleFile[], contents: Contents): Promise<void> {
  await each(folder, files, async (file, to) => {
    const content = contentOf(file);
    // What an attempt before left.
    await rm(to, { force: true });
    if (content === null) await writeFile(to, "", { flag: "wx" });
    else await copyFile(contents.pathOf(content), to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    await chmod(to, file.mode);
  });
}

/** Links files of the cache into the folder, and answers their paths; copies them where a link can't be made. */
export async function linkInto(folder: string, files: readonly Placed[], contents: Contents): Promise<string[]> {
  const linked: string[] = [];
  await each(folder, files, async (file, to) => {
    const content = contentOf(file);
    if (content === null) return;
    // What an attempt before left.
    await rm(to, { force: true });
    try {
      await link(contents.pathOf(content), to);
      linked.push(to);
    } catch (error) {
      if (!(error instanceof Error && "code" in error && (error.code === "EXDEV" || error.code === "EPERM")))
        throw error;
      await copyFile(contents.pathOf(content), to, constants.COPYFILE_FICLONE);
      await chmod(to, file.mode);
    }
  });
  return linked;
}

/** A file that is on no other host's cache: the model's own. */
export async function writeInto(folder: string, path: string, bytes: Buffer): Promise<void> {
  const to = join(folder, path);
  if (!isWithin(folder, to)) throw new FetchProblem(`${JSON.stringify(path)} leads out of the model's folder`);
  await mkdir(dirname(to), { recursive: true });
  // What is there may be a link to the host's one copy, which other models have, too.
  await rm(to, { force: true });
  await writeFile(to, bytes, { flag: "wx" });
}

async function each(
  folder: string,
  files: readonly Placed[],
  place: (file: Placed, to: string) => Promise<void>,
): Promise<void> {
  const limit = createLimiter(FILES_AT_A_TIME);
  const made = new Set<string>();
  for (const file of files) {
    const to = join(folder, file.path);
    if (!isWithin(folder, to)) throw new FetchProblem(`${JSON.stringify(file.path)} leads out of the model's folder`);
    if (made.has(dirname(to))) continue;
    made.add(dirname(to));
    await mkdir(dirname(to), { recursive: true });
  }
  const placed = files.map(async (file) => limit(async () => place(file, join(folder, file.path))));
  // Whoever tries again, or takes the folder away, finds nobody who still writes to it.
  for (const result of await Promise.allSettled(placed)) if (result.status === "rejected") throw result.reason;
}
