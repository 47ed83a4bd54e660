/**
 * Files that an isolated process names: read and deleted only where they truly lie in its scratch folder. The process
 * may put a link in the place of any part of a path, at any moment: so a file is opened first, and judged by where the
 * system says that the open one lies.
 */
import { constants } from "node:fs";
import { open, readlink, realpath, unlink } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { basename, dirname } from "node:path";

/** The process named a file that isn't its own to give. */
export class NotConfined extends Error {
  override readonly name = "NotConfined";
  constructor() {
    super("an output file does not lie in the scratch folder of its process");
  }
}

/** Opens a plain file below `folder` to read it; the caller closes it. Throws `NotConfined`, or the system's error. */
export async function openConfined(path: string, folder: string): Promise<FileHandle> {
  // Opened without waiting: nobody may ever write into a pipe.
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stats = await handle.stat();
    if (stats.isFile() && (await liesIn(handle, folder))) return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
  await handle.close();
  throw new NotConfined();
}

/** Deletes a file below `folder`; nothing where it is elsewhere, or gone. */
export async function dropConfined(path: string, folder: string): Promise<void> {
  const parent = await open(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY).catch(() => null);
  if (parent === null) return;
  try {
    if (await liesIn(parent, folder)) await unlink(`/proc/self/fd/${parent.fd}/${basename(path)}`);
  } catch {
    // Its process may have deleted it.
  } finally {
    await parent.close();
  }
}

async function liesIn({ fd }: FileHandle, folder: string): Promise<boolean> {
  return isWithin(await realpath(folder), await readlink(`/proc/self/fd/${fd}`));
}

/** Whether `path` is `folder`, or lies below it. */
export function isWithin(folder: string, path: string): boolean {
  return path === folder || path.startsWith(folder.endsWith("/") ? folder : `${folder}/`);
}
