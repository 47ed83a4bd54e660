import { execFile } from "node:child_process";
import { rmSync, unlinkSync } from "node:fs";

/**
 * Deletes a folder with all that is in it. Where somebody still writes, it stays: the pool's next start clears it away.
 */
export function removeFolder(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch {
    // A process that should have ended may write there, or a file server keep what is open.
  }
}

/**
 * The same of what a model's process may write to: it could put a link in the place of a folder while that is emptied,
 * and have the pool delete what lies elsewhere. A file is gone at once, a folder soon: `rm` follows no link.
 */
export function removeStrangers(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    const isGone = error instanceof Error && "code" in error && error.code === "ENOENT";
    if (!isGone) execFile("rm", ["-rf", "--", path], () => {});
  }
}
