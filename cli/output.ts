/** What commands print: results to stdout, as a table or (`--json`) as JSON; all else to stderr. */
import type { Io } from "./io.ts";

export function printJson(io: Io, value: unknown): void {
  io.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

export function printLine(io: Io, line: string): void {
  io.stdout.write(`${line}\n`);
}

/** For people, and not for pipes: to stderr. */
export function note(io: Io, line: string): void {
  io.stderr.write(`${line}\n`);
}

type Cell = string | number | boolean | null | undefined;

/** Columns that are as wide as their widest cell. Nothing but a note when there are no rows. */
export function printTable(io: Io, head: readonly string[], rows: readonly (readonly Cell[])[]): void {
  if (rows.length === 0) return note(io, "none");
  const cells = [head.map((name) => name.toUpperCase()), ...rows.map((row) => row.map(show))];
  const widths = head.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? "").length)));
  for (const row of cells)
    printLine(
      io,
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    );
}

function show(cell: Cell): string {
  if (cell === null || cell === undefined) return "–";
  return String(cell).replaceAll(/\s+/g, " ");
}

const UNITS = ["B", "kB", "MB", "GB", "TB"] as const;

/** `1.4 GB`, of bytes. */
export function bytesText(bytes: number): string {
  const power = Math.min(UNITS.length - 1, bytes < 1000 ? 0 : Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** power;
  return `${power > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} ${UNITS[power]}`;
}

/** `2 min ago`, of an ISO time. */
export function ago(iso: string | null | undefined, nowMs: number = Date.now()): string {
  if (iso === null || iso === undefined) return "–";
  const seconds = Math.max(0, (nowMs - Date.parse(iso)) / 1000);
  if (seconds < 100) return `${Math.round(seconds)} s ago`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86_400)} d ago`;
}

/** One line that is written over while something goes on; on a terminal only. */
export type Progress = { say(line: string): void; clear(): void };

export function createProgress(io: Io): Progress {
  let isShown = false;
  const clear = (): void => {
    if (isShown) io.stderr.write("\r\u001b[2K");
    isShown = false;
  };
  return {
    say(line) {
      if (io.stderr.isTTY !== true) return;
      clear();
      io.stderr.write(line.slice(0, (io.stderr.columns ?? 80) - 1));
      isShown = true;
    },
    clear,
  };
}
