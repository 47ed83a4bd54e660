import { rmSync } from "node:fs";

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
