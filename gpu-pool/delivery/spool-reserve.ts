/**
 * Space that is kept for finished results: a file of the spool that is written ahead, and gives way piece by piece to
 * results that a full disk refuses. Whoever fills the disk can't take that space before a result needs it.
 */
import { randomFillSync } from "node:crypto";
import { closeSync, openSync, rmSync, statSync, truncateSync, writeSync } from "node:fs";

const PIECE_BYTES = 1024 * 1024;
/** What a file takes beyond its content. */
const SLACK_BYTES = 64 * 1024;

export type SpoolReserve = {
  /** Makes it whole, as far as the disk lets it. */
  restore(): void;
  /** Frees space for a file of so many bytes; false when there is none left to free. */
  giveWay(bytes: number): boolean;
};

export function createSpoolReserve(path: string, sizeBytes: number): SpoolReserve {
  const leftBytes = (): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  return {
    restore() {
      if (leftBytes() >= sizeBytes) return;
      // What a file system could store as nothing would keep nothing free.
      const piece = randomFillSync(Buffer.alloc(Math.min(PIECE_BYTES, sizeBytes)));
      try {
        const file = openSync(path, "a", 0o600);
        try {
          for (let left = sizeBytes - leftBytes(); left > 0; left -= piece.length)
            writeSync(file, piece, 0, Math.min(left, piece.length));
        } finally {
          closeSync(file);
        }
      } catch {
        // The disk is full already: nothing is kept, and what others need of it is theirs.
        rmSync(path, { force: true });
      }
    },
    giveWay(bytes) {
      const left = leftBytes();
      if (left === 0) return false;
      truncateSync(path, Math.max(0, left - bytes - SLACK_BYTES));
      return true;
    },
  };
}
