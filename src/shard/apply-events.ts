/** Applies one claim's events to its prediction, in the order of their `seq`, and says what the pool must know. */
import { saysSomething } from "../contract/event.ts";
import type { EventVerdict, PoolEvent } from "../contract/event.ts";
import { addVerdicts } from "../contract/verdict.ts";
import type { Effect } from "./machine.ts";
import * as machine from "./machine.ts";
import { addFrame } from "./progress.ts";
import type { Progress } from "./progress.ts";
import { isPurged } from "./retention.ts";
import { isFinished } from "./row.ts";
import type { Row } from "./row.ts";
import type { Rules } from "./rules.ts";
import { addMetrics, platformMetrics } from "./sizes.ts";
import type { ScreenedEvent, StreamFrame } from "./types.ts";
import { attemptEnds, attemptSpoke, attemptUntold, endOf } from "./usage.ts";

export type Applied = {
  verdict: EventVerdict["verdict"];
  effects: Effect[];
  /** The frames that the events brought, for those who read along. */
  frames: StreamFrame[];
  /** True when the state changed, so that it has to be stored before the pool is answered. */
  mustStore: boolean;
  /** True when a `starting` counted an attempt, or had counted it before. */
  started: boolean;
};

type Released = Extract<PoolEvent, { type: "released" }>;
/** After these a claim says nothing more. */
const endings: ReadonlySet<PoolEvent["type"]> = new Set(["succeeded", "failed", "released"] as const);
/** Only a run says these. */
const words: ReadonlySet<PoolEvent["type"]> = new Set(["output", "log", "metric"] as const);
type Context = { now: number; rules: Rules; beginAttempt: () => void };

/**
 * The caller has checked the token. Events that were seen before change nothing; at a gap nothing after it is applied.
 */
export function applyEvents(
  progress: Progress,
  events: readonly ScreenedEvent[],
  session: string,
  context: Context,
): Applied {
  const { row } = progress;
  const applied: Applied = { verdict: "ok", effects: [], frames: [], mustStore: false, started: false };
  for (const event of events) {
    if (event.seq < row.nextSeq) {
      // What has ended doesn't start, however late the question comes.
      if (event.type === "starting" && isFinished(row.state)) applied.verdict = "stale";
      else applied.started ||= event.type === "starting";
      continue;
    }
    if (isFinished(row.state)) {
      applied.verdict = "stale";
      settleUsage(progress, event, context.now, applied);
      continue;
    }
    if (event.seq > row.nextSeq || event.unscreened === true || isUnguarded(row, event)) {
      applied.verdict = "resend";
      return applied;
    }
    row.nextSeq += 1;
    noteScreening(progress, event, applied);
    applyOne(progress, event, session, context, applied);
    if (applied.verdict !== "ok") return applied;
  }
  return applied;
}

/** Whether it says something that its version's own plugins have yet to screen. */
function isUnguarded({ fixed }: Row, event: ScreenedEvent): boolean {
  return fixed.isGuarded === true && event.isGuarded !== true && saysSomething(event);
}

/** What plugins hold and decided, and what they gave up at the end. */
function noteScreening(progress: Progress, { held, tail, verdicts }: ScreenedEvent, applied: Applied): void {
  const { row } = progress;
  if (held !== undefined) row.held = held ?? undefined;
  if (verdicts !== undefined) addVerdicts((row.verdicts ??= []), verdicts);
  if (tail === undefined || row.startedAt === null) return;
  if (tail.logs !== "") applied.frames.push(addFrame(progress, "log", tail.logs));
  if (tail.output !== null) applied.frames.push(addFrame(progress, "output", tail.output));
}

/**
 * The prediction ended (canceled, out of time) before its run did: the end stays, and what the run measured, once it is
 * over, still counts.
 */
function settleUsage({ row }: Progress, event: ScreenedEvent, now: number, applied: Applied): void {
  if (row.startedAt === null || row.retired || event.seq !== row.nextSeq) return;
  row.nextSeq += 1;
  if (words.has(event.type)) attemptSpoke(row);
  settleAttempt(row, event, now, applied);
  if (!("metrics" in event) || event.metrics === undefined || Object.keys(event.metrics).length === 0) return;
  addMetrics(row, isPurged(row) ? platformMetrics(event.metrics) : event.metrics);
  row.endSeq = null;
  applied.mustStore = true;
}

/** What it says of its attempt counts, too; what it doesn't say passed until its prediction's end, if it ran. */
function settleAttempt(row: Row, event: ScreenedEvent, now: number, applied: Applied): void {
  if (row.attemptAt === undefined || !endings.has(event.type)) return;
  if ("usage" in event && event.usage !== undefined) attemptEnds(row, endOf(row), now, event);
  else attemptUntold(row, row.completedAt ?? now);
  applied.mustStore = true;
}

function applyOne(progress: Progress, event: ScreenedEvent, session: string, context: Context, applied: Applied): void {
  const { row } = progress;
  const { now, rules } = context;
  if (event.type !== "released" || event.reason !== "lost") machine.notLost(row);
  switch (event.type) {
    case "starting":
      return begin(progress, session, context, applied);
    case "released":
      row.session = session;
      return settle(applied, released(row, event, now, rules));
    default:
  }
  if (event.type === "failed" && event.kind === "input") {
    if (event.usage === undefined) attemptUntold(row, now, "failed");
    else attemptEnds(row, "failed", now, event);
    return settle(applied, machine.fail(row, event.error, now));
  }
  if (event.type === "failed" && event.kind === "late")
    return settle(applied, machine.neverBegun(row, event.error, now));
  if (row.startedAt === null) {
    // Only a counted start may produce anything.
    applied.verdict = "stale";
    return;
  }
  if (row.state !== "running") revive(progress, session, context, applied);
  if (words.has(event.type)) attemptSpoke(row);
  switch (event.type) {
    case "output":
      if (row.skip > 0) row.skip -= 1;
      else applied.frames.push(addFrame(progress, "output", event.chunk));
      return;
    case "log":
      applied.frames.push(addFrame(progress, "log", event.text));
      return;
    case "metric":
      applied.frames.push(addFrame(progress, "metric", addMetrics(row, event.metrics)));
      return;
    case "succeeded": {
      const { output = null, outputBlob = null, metrics = {} } = event;
      attemptEnds(row, "succeeded", now, event);
      return settle(applied, machine.succeed(row, { output, outputBlob, metrics }, now));
    }
    case "failed":
      addMetrics(row, event.metrics ?? {});
      if (event.kind === "crash") return settle(applied, machine.lose(row, now, rules, event.error, event));
      // Without it the run goes on: a plugin, or the size of what it said, ended its prediction.
      if (event.usage !== undefined) attemptEnds(row, "failed", now, event);
      return settle(applied, machine.fail(row, event.error, now));
  }
}

function released(row: Row, event: Released, now: number, rules: Rules): Effect[] {
  const { reason, usage } = event;
  if (reason === "lost") return machine.lose(row, now, rules, undefined, { usage });
  if (usage !== undefined) attemptEnds(row, "stopped", now, { usage });
  // Neither ran: a start that was counted for it holds no deadline off.
  if (reason === "unseen" || reason === "no_room") return machine.unseen(row, now, rules);
  if (reason === "cannot_run") return machine.handBack(row, now, rules);
  return machine.release(row, now, rules);
}

/** A job that was queued in the pool, or half of a batch that failed, is about to start: the start is counted first. */
function begin(progress: Progress, session: string, context: Context, applied: Applied): void {
  const { row } = progress;
  const { now, rules } = context;
  const overdue = machine.expire(row, now);
  if (overdue !== null) {
    settle(applied, overdue);
    applied.verdict = "aborted";
    return;
  }
  if (row.state === "running" && row.shown && row.chunks > 0 && !row.fixed.resumesDeterministically) {
    settle(applied, machine.lose(row, now, rules));
    applied.verdict = "stale";
    return;
  }
  // What an earlier start of this claim brought is repeated, or forgotten.
  if (row.state === "running" || row.lastFrame > 0) context.beginAttempt();
  if (row.state === "waiting") applied.effects.push({ type: "withdraw" });
  row.session = session;
  row.checkAt = now + rules.leaseMs;
  applied.started = true;
  settle(applied, machine.start(row, now));
}

/** The lease was judged lost, and yet the latest token reports: it never stopped. */
function revive(progress: Progress, session: string, context: Context, applied: Applied): void {
  const { row } = progress;
  row.state = "running";
  row.session = session;
  row.handAt = null;
  row.checkAt = context.now + context.rules.leaseMs;
  settle(applied, [{ type: "withdraw" }]);
}

function settle(applied: Applied, effects: readonly Effect[]): void {
  applied.effects.push(...effects);
  applied.mustStore = true;
}
