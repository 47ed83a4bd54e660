/**
 * What a push shows while it goes on: a bar on a terminal, a line now and then elsewhere, or (`--json`) one event of
 * JSON a line on stdout.
 */
import type { Io } from "../io.ts";
import { createProgress, note } from "../output.ts";

const BAR_CHARS = 20;
const DRAW_MS = 100;
/** Between two lines where there is no terminal, and two events. */
const LINE_MS = 5000;
const EVENT_MS = 1000;
/** The rate is that of the last while. */
const RATE_MS = 5000;

export type PushEvent = { event: string } & Record<string, unknown>;

export type Report = {
  /** Something has come about. `line`: for people. */
  tell(event: PushEvent, line: string): void;
  /** Something goes on; the next takes its place. */
  say(line: string): void;
  hashed(bytes: number): void;
  missing(bytes: number): void;
  sent(bytes: number): void;
  /** Bytes are hashed and sent from now on: so many in all. */
  begin(totalBytes: number): void;
  /** They have been. Answers how many were sent. */
  end(): number;
  clear(): void;
};

type Counts = { total: number; hashed: number; missing: number; sent: number };

export function createReport(io: Io, isJson: boolean): Report {
  const progress = createProgress(io);
  const isTerminal = io.stderr.isTTY === true && !isJson;
  const counts: Counts = { total: 0, hashed: 0, missing: 0, sent: 0 };
  const rate = new Rate();
  let timer: NodeJS.Timeout | undefined;
  const event = (value: PushEvent): void => void io.stdout.write(`${JSON.stringify(value)}\n`);
  const draw = (): void => {
    const perSecond = rate.at(performance.now(), counts.sent);
    if (isJson) event({ event: "progress", ...counts, bytes_per_s: Math.round(perSecond) });
    else if (isTerminal) progress.say(lineOf(counts, perSecond));
    else note(io, lineOf(counts, perSecond));
  };
  return {
    tell(value, line) {
      progress.clear();
      if (isJson) event(value);
      else note(io, line);
    },
    say: (line) => progress.say(line),
    hashed: (bytes) => void (counts.hashed += bytes),
    missing: (bytes) => void (counts.missing += bytes),
    sent: (bytes) => void (counts.sent += bytes),
    begin(total) {
      counts.total = total;
      rate.at(performance.now(), 0);
      timer = setInterval(draw, isTerminal ? DRAW_MS : isJson ? EVENT_MS : LINE_MS);
    },
    end() {
      clearInterval(timer);
      progress.clear();
      return counts.sent;
    },
    clear() {
      clearInterval(timer);
      progress.clear();
    },
  };
}

/** Bytes a second, over the last while. */
class Rate {
  #marks: { atMs: number; bytes: number }[] = [];

  at(atMs: number, bytes: number): number {
    this.#marks = [...this.#marks.filter((mark) => mark.atMs > atMs - RATE_MS), { atMs, bytes }];
    const [first] = this.#marks;
    if (first === undefined || atMs === first.atMs) return 0;
    return Math.max(0, ((bytes - first.bytes) * 1000) / (atMs - first.atMs));
  }
}

/**
 * `[=====     ] 1.2 GB of 3.4 GB sent · 210 MB/s · 12 s left · 40 % hashed`. Until all is hashed, more may be missing.
 */
export function lineOf({ total, hashed, missing, sent }: Counts, perSecond: number): string {
  const isHashing = hashed < total;
  const share = isHashing && missing === 0 ? hashed / total : missing === 0 ? 1 : sent / missing;
  const filled = Math.round(Math.min(1, share) * BAR_CHARS);
  const bar = `[${"=".repeat(filled)}${" ".repeat(BAR_CHARS - filled)}]`;
  const left = perSecond > 0 ? ` · ${durationOf((missing - sent) / perSecond)} left` : "";
  const sending = missing === 0 ? "" : `${sizeOf(sent)} of ${sizeOf(missing)} sent · ${sizeOf(perSecond)}/s${left}`;
  const hashing = isHashing ? `${sizeOf(hashed)} of ${sizeOf(total)} read` : "";
  return `${bar} ${[sending, hashing].filter((part) => part !== "").join(" · ")}`;
}

/** `1.4 GB`: powers of ten. */
export function sizeOf(bytes: number): string {
  if (bytes < 1000) return `${Math.round(bytes)} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let value = bytes / 1000;
  let unit = 0;
  for (; value >= 999.5 && unit < units.length - 1; unit += 1) value /= 1000;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

function durationOf(seconds: number): string {
  if (seconds < 100) return `${Math.ceil(seconds)} s`;
  return seconds < 6000 ? `${Math.ceil(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
