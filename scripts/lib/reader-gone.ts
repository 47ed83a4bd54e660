/**
 * Nobody reads any more what this process prints: its terminal was closed (EIO), or the other end of its pipe (EPIPE).
 */
import type { Writable } from "node:stream";

const GONE = ["EIO", "EPIPE"];

/** Calls back at each word that nobody gets. What else goes wrong with a stream is thrown. */
export function onReaderGone(
  listener: () => void,
  streams: readonly Writable[] = [process.stdout, process.stderr],
): void {
  for (const stream of streams)
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (!GONE.includes(error.code ?? "")) throw error;
      listener();
    });
}
