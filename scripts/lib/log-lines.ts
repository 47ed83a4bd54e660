/** Output of the stack's processes, line by line, with the name of whoever said it. */
import type { Readable } from "node:stream";
import { createInterface } from "node:readline";

export type Say = (line: string) => void;

/** Hands every line of `stream` to `say`, after `name`. */
export function prefixLines(name: string, stream: Readable | null, say: Say): void {
  if (stream === null) return;
  createInterface({ input: stream }).on("line", (line) => {
    const terse = terseLine(line);
    if (terse !== null) say(`${name.padEnd(4)} │ ${terse}`);
  });
}

/** workerd tells of a blocked connection in three lines of internals; one will do. Null: not worth a line. */
function terseLine(line: string): string | null {
  if (line.trim() === "" || line.startsWith("stack: ")) return null;
  const blocked = /connecting to (\S+) is not allowed/.exec(line);
  return blocked === null
    ? line
    : `blocked: ${blocked[1] ?? "an address"} is not a public address (EDGEPLANE_ALLOW_LOOPBACK=1 allows loopback)`;
}
