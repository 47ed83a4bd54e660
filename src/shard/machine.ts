/**
 * The state machine of one prediction: pure transitions over its row. Each changes the row that it is given and returns
 * what must happen besides; the caller stores the row and the effects' outbox rows in one transaction.
 */
import type { Answer } from "../../plugins/kernel/phases.ts";
import type { Json, PredictionError } from "../contract/prediction.ts";
import type { ErrorCode } from "../contract/errors.ts";
import type { ClaimRef } from "../contract/channel.ts";
import type { Rules } from "./rules.ts";
import { isFinished, isSuspect } from "./row.ts";
import type { Row, State } from "./row.ts";
import { addMetrics } from "./sizes.ts";
import { attemptBegins, attemptEnds, attemptGoesOn, attemptUntold, awaitsUsage, noteAnswer } from "./usage.ts";
import type { Measured } from "./usage.ts";

const STOP_AGAIN_MS = 2000;

export type Effect =
  /** Its claim came to nothing: hand it to its lane, where it keeps its place. */
  /** `isPaid`: the run that was lost stays charged to its account. */
  | { type: "hand"; isPaid?: true }
  /** Take it out of its lane. */
  | { type: "withdraw" }
  /** Tell the pool session to stop it. */
  | { type: "stop"; session: string; claim: ClaimRef }
  | { type: "webhook"; event: "start" | "completed" };

export type ClaimVerdict = "granted" | "terminal" | "granted_elsewhere" | "aborted" | "out_of_scope";

/**
 * A pool session asks for the prediction. A session that holds it gets the same grant again. The claim counts no start
 * of a suspect: the pool reports that when the suspect's turn to run alone has come, so that those behind a culprit
 * aren't counted with it.
 */
export function claim(
  row: Row,
  ask: { session: string; lanes: readonly string[]; startNow: boolean; token: string },
  now: number,
  rules: Rules,
): { verdict: ClaimVerdict; effects: Effect[] } {
  if (!ask.lanes.includes(row.fixed.lane)) return { verdict: "out_of_scope", effects: [] };
  if (isFinished(row.state)) return { verdict: "terminal", effects: [] };
  if (row.state !== "waiting") {
    return { verdict: row.session === ask.session ? "granted" : "granted_elsewhere", effects: [] };
  }
  const overdue = expire(row, now);
  if (overdue !== null) return { verdict: "aborted", effects: overdue };
  // Where a run goes on behind an earlier one's chunks, these stay, and with them the files that they name.
  if (row.blobs && row.token !== null && !row.fixed.resumesDeterministically) row.strays = true;
  grant(row, ask, now, rules);
  const effects = ask.startNow && !isSuspect(row) ? start(row, now) : [];
  return { verdict: "granted", effects };
}

/**
 * The lane reserved room for a prediction that is being accepted: it is granted as it is stored, and its start is
 * counted.
 */
export function grantAtOnce(row: Row, to: { session: string; token: string }, now: number, rules: Rules): Effect[] {
  grant(row, to, now, rules);
  return start(row, now);
}

function grant(row: Row, to: { session: string; token: string }, now: number, rules: Rules): void {
  row.token = to.token;
  row.session = to.session;
  row.nextSeq = 0;
  row.held = undefined;
  row.handAt = null;
  row.checkAt = now + rules.firstCheckMs;
  row.state = "granted";
}

/** A counted start. The caller has checked token and deadlines. */
export function start(row: Row, now: number): Effect[] {
  row.state = "running";
  row.held = undefined;
  attemptUntold(row, now, "lost");
  row.attempt += 1;
  row.startedAt ??= now;
  row.handAt = null;
  attemptBegins(row, now);
  return row.attempt === 1 ? [{ type: "webhook", event: "start" }] : [];
}

export function succeed(
  row: Row,
  result: { output: Json; outputBlob: string | null; metrics: Record<string, Json> },
  now: number,
): Effect[] {
  row.output = result.output;
  row.outputBlob = result.outputBlob;
  addMetrics(row, result.metrics);
  return finish(row, "succeeded", null, now);
}

/** A plugin knows the output: it ends before it waits anywhere. */
export function answer(row: Row, { output, yielded }: Answer, now: number): Effect[] {
  row.output = output;
  // A stream that is read later has them one by one, as it had them of the run.
  row.chunks = yielded && Array.isArray(output) ? output.length : 0;
  addMetrics(row, { cached: true, predict_time: 0 });
  noteAnswer(row, now);
  return finish(row, "succeeded", null, now).filter(({ type }) => type !== "withdraw");
}

export function fail(row: Row, error: PredictionError, now: number): Effect[] {
  return finish(row, "failed", error, now);
}

/**
 * Its pool never began it, as it could not have ended in time. A start that was counted for it never happened; what an
 * earlier claim ran did, and such a prediction ran out of time.
 */
export function neverBegun(row: Row, error: PredictionError, now: number): Effect[] {
  forgetStart(row);
  attemptUntold(row, now);
  if (row.startedAt !== null) return fail(row, errorOf("timed_out", error.message), now);
  return finish(row, "aborted", error, now);
}

/** The client cancels. Finished predictions stay as they are. */
export function cancel(row: Row, now: number): Effect[] {
  if (isFinished(row.state)) return [];
  return stopAndFinish(row, "canceled", null, now);
}

/** Handed back free of charge. */
export function release(row: Row, now: number, rules: Rules): Effect[] {
  attemptUntold(row, now);
  return waitAgain(row, now, rules);
}

/**
 * Handed back by a pool that can't run it. Another one may: it is handed on at once. Where that goes on it waits longer
 * each time, so that what no pool can run doesn't go round for ever in front of everything else. It did not run: its
 * deadline to start holds as before.
 */
export function handBack(row: Row, now: number, rules: Rules): Effect[] {
  row.handBacks += 1;
  forgetStart(row);
  attemptUntold(row, now);
  const effects = waitAgain(row, now, rules);
  if (row.handBacks === 1) return effects;
  row.handAt = now + Math.min(rules.sweepMs, rules.handBackMs * 2 ** Math.min(row.handBacks - 2, 20));
  return [];
}

/**
 * The grant never reached its pool, which refuses that token from now on: nothing ran, and nothing is lost. A start
 * that was counted stays counted; its deadline to start holds as before, unless an earlier attempt did run.
 */
export function unseen(row: Row, now: number, rules: Rules): Effect[] {
  forgetStart(row);
  attemptUntold(row, now);
  return waitAgain(row, now, rules);
}

/** The open attempt never ran: it was no start, unless an earlier attempt was one. */
function forgetStart(row: Row): void {
  if (row.state === "running" && row.startedAt === row.attemptAt && row.chunks === 0) row.startedAt = null;
}

/**
 * The claim is gone without a word, or its process died while it ran alone: then `cause` says so. A start that was
 * counted is a loss: it runs again (see `isSuspect`) until its losses are spent, unless readers saw output that another
 * run might contradict.
 */
export function lose(row: Row, now: number, rules: Rules, cause?: PredictionError, measured?: Measured): Effect[] {
  if (row.state !== "running") return waitAgain(row, now, rules);
  attemptEnds(row, "lost", now, measured);
  row.losses += 1;
  if (cause !== undefined) row.hasCrashed = true;
  if (row.shown && row.chunks > 0 && !row.fixed.resumesDeterministically) {
    return fail(row, errorOf("interrupted", "The run was lost after its output had begun to leave."), now);
  }
  if (row.losses >= rules.maxLosses) {
    const fallback = errorOf("attempts_exhausted", `All ${row.losses} attempts were lost without a result.`);
    return fail(row, cause ?? fallback, now);
  }
  // Lost again, it may be what killed its pools: were that free, such an account would have more than its share.
  return row.losses > 1 ? waitAgain(row, now, rules, { isPaid: true }) : waitAgain(row, now, rules);
}

/**
 * Takes a loss back: the claim was judged lost as nobody heard of its pool, and now the pool tells of it. Not called
 * where the pool itself says that it lost the run.
 */
export function notLost(row: Row): void {
  if (row.state === "waiting" && attemptGoesOn(row)) row.losses = Math.max(0, row.losses - 1);
}

/**
 * The pool was told to stop it, and word of that may have been lost with whoever carried it: it is told once more, and
 * again until it told what the run took.
 */
export function stopAgain(row: Row, now: number, rules: Rules): Effect[] {
  const { id, session, token, checkAt } = row;
  if (!isFinished(row.state) || checkAt === null || now < checkAt || session === null || token === null) return [];
  row.checkAt = awaitsUsage(row) ? now + rules.leaseMs : null;
  return [{ type: "stop", session, claim: { id, token } }];
}

/** Whether the pool session is to be asked for its lease, as it still owes what a run took that its end cut off. */
export function asksForUsage(row: Row, now: number, rules: Rules): boolean {
  return awaitsUsage(row) && now >= (row.completedAt ?? now) + rules.leaseMs;
}

/** Ends the prediction if one of its deadlines has passed; null when none has. */
export function expire(row: Row, now: number): Effect[] | null {
  if (isFinished(row.state)) return null;
  const started = row.startedAt !== null;
  if (!started && (now >= row.startBy || now >= row.endBy)) {
    const message = "No pool started it before its deadline.";
    return stopAndFinish(row, "aborted", errorOf("deadline_before_start", message), now);
  }
  if (now < row.endBy) return null;
  if (row.endAs === "canceled") return stopAndFinish(row, "canceled", null, now);
  const message = `It did not end within ${Math.round((row.endBy - row.createdAt) / 1000)} s of its creation.`;
  return stopAndFinish(row, "failed", errorOf("timed_out", message), now);
}

/** When anything is due for the row next, milliseconds since the epoch; null: never. */
export function dueAt(row: Row, rules: Rules): number | null {
  if (isFinished(row.state)) {
    if (row.completedAt === null) return null;
    if (row.strays) return row.completedAt;
    const retainedUntil = row.completedAt + retentionMsOf(row, rules);
    const goesAt = retainedUntil + (row.retired ? rules.keyMemoryMs : 0);
    const givenBackAt = row.reservations === null ? null : row.handAt;
    return Math.min(goesAt, row.checkAt ?? Infinity, givenBackAt ?? Infinity);
  }
  const times = [row.endBy, row.startedAt === null ? row.startBy : null, row.handAt, row.checkAt];
  return Math.min(...times.filter((time) => time !== null));
}

/** How long the data stays after the end. */
export function retentionMsOf(row: Row, rules: Rules): number {
  return row.fixed.retentionMs ?? rules.retentionMs;
}

/** Delay before the sweep hands an unclaimed prediction on again. */
export function sweepDelayMs(hands: number, rules: Rules): number {
  return Math.min(rules.sweepMaxMs, rules.sweepMs * 2 ** Math.min(hands, 20));
}

function errorOf(code: ErrorCode, message: string): PredictionError {
  return { code, message };
}

function waitAgain(row: Row, now: number, rules: Rules, about: { isPaid?: true } = {}): Effect[] {
  row.state = "waiting";
  row.checkAt = null;
  row.hands = 0;
  row.handAt = now + sweepDelayMs(0, rules);
  return [{ type: "hand", ...about }];
}

function stopAndFinish(row: Row, state: State, error: PredictionError | null, now: number): Effect[] {
  const { session, token, id } = row;
  const held = (row.state === "granted" || row.state === "running") && session !== null && token !== null;
  const before: Effect[] = held ? [{ type: "stop", session, claim: { id, token } }] : [];
  const after = finish(row, state, error, now);
  if (held) row.checkAt = now + STOP_AGAIN_MS;
  return [...before, ...after];
}

function finish(row: Row, state: State, error: PredictionError | null, now: number): Effect[] {
  const waited = row.state === "waiting";
  row.state = state;
  row.held = undefined;
  row.error = error;
  row.completedAt = now;
  row.handAt = null;
  row.checkAt = awaitsUsage(row) ? now + STOP_AGAIN_MS : null;
  row.metrics["total_time"] = (now - row.createdAt) / 1000;
  if (row.startedAt !== null) row.metrics["predict_time"] ??= (now - row.startedAt) / 1000;
  const effects: Effect[] = [{ type: "webhook", event: "completed" }];
  // However it ended: its lane would ask for a machine for it, and hand it out, for ever.
  return waited ? [{ type: "withdraw" }, ...effects] : effects;
}
