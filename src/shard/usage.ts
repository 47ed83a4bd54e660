/**
 * What a prediction's attempts took. Pools report it; the edge believes no more than it saw pass itself, and estimates
 * what a pool that vanished did not tell.
 *
 *   start ─▶ open (`attemptAt`) ── reported ──▶ entry
 *                │ its pool vanished ──▶ estimated entry ── reported after all ──▶ correction: a second entry
 *                └ it said nothing, and is handed back ──▶ it never ran: nothing
 *
 * Entries stand in `row.usage` from the change that ends an attempt until they are handed on. Which attempts before the
 * last were told of stands in `row.earlier`, so that none is taken twice, for as long as the row stays.
 */
import type { AttemptUsage, UsageReport } from "../contract/usage.ts";
import { isFinished } from "./row.ts";
import type { Row, State } from "./row.ts";

/**
 * How an attempt ended. `stopped`: handed back after it had begun. The first four are ends of its prediction. Rows have
 * their places in this list: it grows at its end.
 */
const outcomes = ["succeeded", "failed", "canceled", "aborted", "lost", "stopped", "bisected", "superseded"] as const;
export type AttemptOutcome = (typeof outcomes)[number];

export type UsageFlag = "capped" | "estimated" | "superseded" | "correction";

/** What one attempt took, once. */
export type UsageEntry = AttemptUsage & {
  /** Its number among the shard's, from when it is stored. */
  n?: number;
  /** From 1; 0: no attempt was made, a plugin knew the answer. */
  attempt: number;
  outcome: AttemptOutcome;
  /** When its end became known here, in milliseconds since the epoch. */
  at: number;
  flags?: UsageFlag[];
  /** Of a correction: the estimate that this entry, as a whole, stands in place of. */
  replaces?: Estimate;
};

type Estimate = Pick<UsageEntry, "outcome" | "device" | "queuedMs" | "runMs" | "gpuUs">;

/** An attempt that was told of and is not the last, or was estimated: who may still tell, and since when it ran. */
export type EarlierAttempt = {
  attempt: number;
  estimated?: Estimate & { from: number; token: string | null };
};

/** What a pool says of the attempt; without it, the kind of device that it most likely ran on. */
export type Measured = { usage?: AttemptUsage | undefined; device?: string | undefined };

/** Where nobody knows the kind of the device, and where none was needed. */
export const UNKNOWN_DEVICE = "unknown";
export const NO_DEVICE = "none";
/** What a pool's measure may exceed the edge's by: ways of grants and reports, and clocks that differ. */
export const GRACE_MS = 1000;

/**
 * Attempts of one prediction of which it is remembered that they were told of. Halved batches and lost claims come
 * nowhere near: a pool that begins a claim again and again fills no row.
 */
const MAX_EARLIER = 100;

/**
 * An entry as it is stored: most rows have one, and shall share their page. `n` and `at` are what they exceed `since`
 * by, in microseconds and in milliseconds.
 */
export type PackedUsage = [
  n: number | null,
  attempt: number,
  outcome: number,
  at: number,
  device: string,
  queuedMs: number,
  runMs: number,
  gpuUs: number,
  rest?: Pick<UsageEntry, "units" | "devices" | "flags" | "replaces">,
];

export function packUsage(entry: UsageEntry, since: number): PackedUsage {
  const { n, attempt, outcome, at, device, queuedMs, runMs, gpuUs, ...rest } = entry;
  const numbers = [n === undefined ? null : n - since * 1000, attempt, outcomes.indexOf(outcome), at - since] as const;
  const packed: PackedUsage = [...numbers, device, queuedMs, runMs, gpuUs];
  if (Object.keys(rest).length > 0) packed.push(rest);
  return packed;
}

export function unpackUsage(packed: PackedUsage, since: number): UsageEntry {
  const [n, attempt, outcome, at, device, queuedMs, runMs, gpuUs, rest] = packed;
  const ended = { attempt, outcome: outcomes[outcome] ?? "failed", at: at + since };
  const entry = { ...ended, device, queuedMs, runMs, gpuUs, ...rest };
  return n === null ? entry : { n: n + since * 1000, ...entry };
}

/** A start is counted, and the one before it is over. */
export function attemptBegins(row: Row, now: number): void {
  row.attemptAt = now;
  row.hasSpoken = undefined;
}

/** The open attempt said something: it runs. */
export function attemptSpoke(row: Row): void {
  row.hasSpoken = true;
}

/** The open attempt is over without a word of what it took. One that said nothing never ran; else that is estimated. */
export function attemptUntold(row: Row, now: number, outcome = endOf(row)): void {
  if (row.hasSpoken === true && remembersMore(row)) attemptEnds(row, outcome, now);
  else close(row);
}

/**
 * The claim's lost attempt goes on after all: what was estimated of it is corrected at its end. Whether it had counted
 * as lost.
 */
export function attemptGoesOn(row: Row): boolean {
  const estimated = earlier(row, row.attempt)?.estimated;
  if (estimated?.token !== row.token) return false;
  row.attemptAt ??= estimated.from;
  return estimated.outcome === "lost";
}

/** A plugin answered in place of a run. */
export function noteAnswer(row: Row, now: number): void {
  const nothing = { device: NO_DEVICE, queuedMs: 0, runMs: 0, gpuUs: 0 };
  add(row, { ...nothing, attempt: 0, outcome: "succeeded", at: now });
}

/** The open attempt is over at `now`, if there is one; what its pool doesn't say is estimated. */
export function attemptEnds(row: Row, outcome: AttemptOutcome, now: number, measured: Measured = {}): void {
  if (row.attemptAt === undefined) return;
  const { attempt, attemptAt: from, token } = row;
  const { usage, device = UNKNOWN_DEVICE } = measured;
  close(row);
  if (usage !== undefined) return take(row, { attempt, outcome, usage, from }, now);
  const known = earlier(row, attempt);
  // Lost once more, its first estimate stands until its pool tells.
  if (known !== undefined && (known.estimated === undefined || !isEnd(outcome))) return;
  const runMs = Math.max(0, now - from);
  const estimate: Estimate = { outcome, device, queuedMs: 0, runMs, gpuUs: runMs * 1000 };
  if (known?.estimated !== undefined) return correctEstimate(row, attempt, estimate, known.estimated, now);
  remember(row, { attempt, estimated: { ...estimate, from, token } });
  add(row, { ...estimate, attempt, at: now, flags: ["estimated"] });
}

/** A run that was taken for lost went on to its end, and its pool told no usage: what passed here is final. */
function correctEstimate(row: Row, attempt: number, told: Estimate, before: Estimate & { from: number }, at: number) {
  remember(row, { attempt });
  const { outcome, device, queuedMs, runMs, gpuUs } = before;
  const replaces = { outcome, device, queuedMs, runMs, gpuUs };
  add(row, { ...told, attempt, at, flags: ["estimated", "correction"], replaces });
}

/** What stands for the attempt until its pool tells; undefined: nothing is estimated, or it has told. */
export function estimateOf(row: Row, attempt: number): Estimate | undefined {
  return earlier(row, attempt)?.estimated;
}

/** Whether its prediction ended, and what the run took is still to be told. */
export function awaitsUsage(row: Row): boolean {
  return isFinished(row.state) && row.attemptAt !== undefined;
}

/** What the prediction's end makes of an attempt that ran then. */
export function endOf({ state }: Row): AttemptOutcome {
  return isEnd(state) ? state : "stopped";
}

function isEnd(name: State | AttemptOutcome): name is Extract<State, AttemptOutcome> {
  return name === "succeeded" || name === "failed" || name === "canceled" || name === "aborted";
}

/** Takes a report of an attempt of whose end no event tells, once; whether it changed the row. */
export function takeReport(row: Row, { attempt, token, outcome, usage }: UsageReport, now: number): boolean {
  const known = earlier(row, attempt);
  if (known !== undefined) {
    const { estimated } = known;
    if (estimated?.token !== token) return false;
    // An estimate that ended its prediction stays its end: a pool that stopped the run says no more than that.
    const lasting = isEnd(estimated.outcome) ? estimated.outcome : outcome;
    take(row, { attempt, outcome: lasting, usage, from: estimated.from }, now);
    return true;
  }
  if (token !== row.token || attempt > row.attempt || !remembersMore(row)) return false;
  if (attempt === row.attempt) {
    if (row.attemptAt === undefined) return false;
    attemptEnds(row, isFinished(row.state) ? endOf(row) : outcome, now, { usage });
  } else take(row, { attempt, outcome, usage, from: row.startedAt ?? row.createdAt }, now);
  if (!isFinished(row.state) || attempt < row.attempt) remember(row, { attempt });
  return true;
}

/** A claim that is no longer the latest ended, too: what was estimated of its attempt is known now. */
export function takeStale(row: Row, event: { token: string; usage?: AttemptUsage | undefined }, now: number): boolean {
  const { token, usage } = event;
  const known = row.earlier?.findLast(({ estimated }) => estimated?.token === token);
  if (usage === undefined || known === undefined) return false;
  return takeReport(row, { id: row.id, token, attempt: known.attempt, outcome: "superseded", usage }, now);
}

type Told = { attempt: number; outcome: AttemptOutcome; usage: AttemptUsage; from: number };

/** No more is believed than passed here since the attempt began. */
function take(row: Row, { attempt, outcome, usage, from }: Told, now: number): void {
  const mostMs = Math.max(0, now - from) + GRACE_MS;
  const gpuUs = Math.min(usage.gpuUs, mostMs * 1000 * (usage.devices ?? 1));
  const runMs = Math.min(usage.runMs, mostMs);
  const queuedMs = Math.min(usage.queuedMs, Math.max(0, now - row.createdAt) + GRACE_MS);
  const entry: UsageEntry = { ...usage, queuedMs, runMs, gpuUs, attempt, outcome, at: now };
  const flags: UsageFlag[] = [];
  if (gpuUs < usage.gpuUs || runMs < usage.runMs || queuedMs < usage.queuedMs) flags.push("capped");
  if (outcome === "superseded") flags.push("superseded");
  const { estimated } = earlier(row, attempt) ?? {};
  if (estimated !== undefined) {
    const { from: _from, token: _token, ...replaces } = estimated;
    entry.replaces = replaces;
    flags.push("correction");
    remember(row, { attempt });
  }
  if (flags.length > 0) entry.flags = flags;
  add(row, entry);
}

/** Nobody has to be asked, or to be told to stop, whose end is known. */
function close(row: Row): void {
  row.attemptAt = undefined;
  row.hasSpoken = undefined;
  if (isFinished(row.state)) row.checkAt = null;
}

function add(row: Row, entry: UsageEntry): void {
  row.usage = [...(row.usage ?? []), entry];
}

function earlier(row: Row, attempt: number): EarlierAttempt | undefined {
  return row.earlier?.find((one) => one.attempt === attempt);
}

function remember(row: Row, attempt: EarlierAttempt): void {
  row.earlier = [...(row.earlier ?? []).filter((one) => one.attempt !== attempt.attempt), attempt];
}

function remembersMore({ earlier: known = [] }: Row): boolean {
  return known.length < MAX_EARLIER;
}
