/** What pools report of their claims: events, and what attempts took. */
import type { EventsReply, EventVerdict } from "../contract/event.ts";
import type { UsageReport, UsageVerdict } from "../contract/usage.ts";
import { applyEvents } from "./apply-events.ts";
import type { Effect } from "./machine.ts";
import type { Outgoing } from "./outgoing.ts";
import { beginAttempt, unseenFrames } from "./progress.ts";
import type { Progress } from "./progress.ts";
import type { Rules } from "./rules.ts";
import type { Store } from "./store.ts";
import type { ScreenedEvent, StreamFrame } from "./types.ts";
import { takeReport, takeStale } from "./usage.ts";

export type DeliveringDeps = {
  rules: Rules;
  now: () => number;
  store: Store;
  outgoing: Outgoing;
  /** Runs what touches one prediction; null when that went wrong. */
  alone<T>(id: string, run: () => T): T | null;
  load(id: string): Progress | null;
  save(progress: Progress, effects: readonly Effect[], fresh?: readonly StreamFrame[]): void;
  /** Keeps what need not be stored yet. */
  keep(progress: Progress, frames: readonly StreamFrame[]): void;
};

/** Of one pool session's call. */
type From = { session: string; lanes: readonly string[] };

export function createDelivering(deps: DeliveringDeps) {
  const { rules, now, store, outgoing, alone, load, save, keep } = deps;

  function report(one: UsageReport, { lanes }: From): void {
    const progress = load(one.id);
    if (progress === null || !lanes.includes(progress.row.fixed.lane)) return;
    if (takeReport(progress.row, one, now())) save(progress, []);
  }

  function deliverClaim(events: ScreenedEvent[], { session, lanes }: From): EventVerdict {
    const [{ id, token }] = events as [ScreenedEvent, ...ScreenedEvent[]];
    const progress = load(id);
    if (progress === null || progress.row.token !== token || !lanes.includes(progress.row.fixed.lane)) {
      outgoing.countStale();
      const usage = events.findLast((event) => "usage" in event);
      if (progress !== null && usage !== undefined && takeStale(progress.row, usage, now())) save(progress, []);
      return { id, token, verdict: "stale" };
    }
    const seqBefore = progress.row.nextSeq;
    const unseen = unseenFrames(progress, store);
    const applied = applyEvents(progress, events, session, {
      now: now(),
      rules,
      beginAttempt: () => beginAttempt(progress, store),
    });
    if (applied.mustStore) save(progress, applied.effects, [...unseen, ...applied.frames]);
    else if (progress.row.nextSeq > seqBefore) keep(progress, applied.frames);
    const verdict: EventVerdict = { id, token, verdict: applied.verdict };
    if (applied.verdict === "ok") verdict.next = progress.storedSeq;
    if (applied.verdict === "resend") verdict.next = progress.row.nextSeq;
    if (applied.started) verdict.attempt = progress.row.attempt;
    return verdict;
  }

  return {
    /**
     * Applies the events of many claims; the verdicts come one per claim. What attempts took that were over before is
     * taken first: an event may begin the next one.
     */
    deliver(events: readonly ScreenedEvent[], from: From, reports: readonly UsageReport[] = []): EventsReply {
      const usage: UsageVerdict[] = [];
      for (const one of reports) {
        const isTaken = alone(one.id, () => (report(one, from), true));
        usage.push({ token: one.token, attempt: one.attempt, verdict: isTaken === true ? "ok" : "later" });
      }
      const verdicts: EventVerdict[] = [];
      for (const list of Map.groupBy(events, ({ id, token }) => `${id} ${token}`).values()) {
        const [{ id, token }] = list as [ScreenedEvent, ...ScreenedEvent[]];
        const verdict = alone(id, () => deliverClaim(list, from));
        verdicts.push(verdict ?? { id, token, verdict: "later" });
      }
      return { verdicts, cancel: [], ...(reports.length === 0 ? {} : { usage }) };
    },
  };
}
