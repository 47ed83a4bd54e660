/** Where log lines go: to a file descriptor, at once. */
import { pino } from "pino";
import type { DestinationStream } from "pino";

/** What waits for a disk that is full; lines beyond it are dropped. */
const MAX_WAITING_BYTES = 1024 * 1024;

/**
 * Lines that the disk behind `fd` (stdout) refuses wait for it, and go in the end: nobody stops working for want of a
 * log.
 */
export function logDestination(fd = 1): DestinationStream {
  const stream = pino.destination({ dest: fd, sync: true, maxLength: MAX_WAITING_BYTES });
  // Without a listener the error would be thrown where the line was logged.
  stream.on("error", () => {});
  return stream;
}
