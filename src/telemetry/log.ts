/**
 * The gateway's log: one JSON object a line. Fields are ids, codes, counts and durations; never an input, an output, a
 * key, a token or a header's value.
 */

export type LogFields = Record<string, string | number | boolean | null | undefined>;

type Level = "debug" | "info" | "warn" | "error";

function write(level: Level, event: string, fields: LogFields): void {
  const line = JSON.stringify({ level, event, at: new Date().toISOString(), ...fields });
  if (level === "error" || level === "warn") console.error(line);
  else console.log(line);
}

/** Writes one line; `event` is snake_case. */
export const log = {
  info: (event: string, fields: LogFields = {}): void => write("info", event, fields),
  warn: (event: string, fields: LogFields = {}): void => write("warn", event, fields),
  error: (event: string, fields: LogFields = {}): void => write("error", event, fields),
};

const MAX_REASON_LENGTH = 500;

/** What can be logged of something that was thrown: its name and message, cut. */
export function reasonOf(thrown: unknown): string {
  const text = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
  return text.slice(0, MAX_REASON_LENGTH);
}
