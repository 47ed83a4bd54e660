/** Output of the stack's processes, line by line, with the name of whoever said it. */
import type { Readable } from "node:stream";
import { createInterface } from "node:readline";
import * as z from "zod";

export type Say = (line: string) => void;

/** Hands every line of `stream` to `say`, after `name`. */
export function prefixLines(name: string, stream: Readable | null, say: Say): void {
  if (stream === null) return;
  createInterface({ input: stream }).on("line", (line) => {
    const terse = terseLine(line);
    if (terse !== null) say(`${name.padEnd(4)} │ ${terse}`);
  });
}

/** Fields of a structured line that say nothing on this machine. */
const silentFields = new Set(["level", "time", "msg", "pool", "pid", "hostname"]);
const levels: Record<number, string> = { 40: "warning: ", 50: "error: ", 60: "fatal: " };
const StructuredSchema = z.looseObject({ level: z.number(), msg: z.string() });

/** The line as it is worth reading, or null when it isn't. */
export function terseLine(line: string): string | null {
  // workerd tells of a blocked connection in three lines of internals; one will do.
  if (line.trim() === "" || line.startsWith("stack: ")) return null;
  // An alarm that was set anew while its handler ran; workerd marks it as nothing to worry about.
  if (line.startsWith("NOSENTRY SQLite alarm handler canceled")) return null;
  const blocked = /connecting to (\S+) is not allowed/.exec(line)?.[1];
  if (blocked !== undefined) {
    return `blocked: ${blocked} is not a public address (a service of yours, such as a bridge: EDGEPLANE_OPERATOR_ORIGINS; targets of webhooks and inputs: EDGEPLANE_ALLOW_LOOPBACK=1)`;
  }
  return line.startsWith("{") ? readStructured(line) : line;
}

function readStructured(line: string): string {
  try {
    const fields = StructuredSchema.parse(JSON.parse(line));
    const details = Object.entries(fields)
      .filter(([key]) => !silentFields.has(key))
      .map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`);
    return `${levels[fields.level] ?? ""}${[fields.msg, ...details].join(" ")}`;
  } catch {
    return line;
  }
}
