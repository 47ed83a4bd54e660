/** What was granted, or reserved, and hasn't ended: what it was charged, until its pool tells what it took. */
import { notePending } from "./backlog.ts";
import type { Flow } from "./backlog.ts";
import { noteMean, noteRun } from "./version.ts";
import type { Version } from "./version.ts";

/** Why an entry is out of the order. */
export type Pick = {
  kind: "taken" | "pushed" | "released" | "failing";
  /** Who has it in hand; null: the log, or whoever fails it. */
  session: string | null;
  version: Version;
  chargedMs: number;
  at: number;
  pushedAt: number;
};

export type Run = {
  flow: Flow;
  version: Version;
  session: string;
  cost: number;
  chargedMs: number;
  at: number;
  isReserved: boolean;
};

/** `isSettled`: it was reserved, so that what it took could be settled at once. */
export type Early = { at: number; ms: number; isSettled: boolean };

type Bounds = { maxRuns: number; maxRunMs: number; maxEnded: number; endedMs: number };

export type Runs = ReturnType<typeof createRuns>;

/** What a flow was charged for a run whose session is over. */
type Lost = { flow: Flow; chargedMs: number; at: number; isReserved: boolean };

/** `settle` adds milliseconds, which may be negative, to what a flow has paid. */
export function createRuns(rules: Bounds, settle: (flow: Flow, ms: number) => void) {
  const runs = new Map<string, Run>();
  /** Runs that ended before their shards told that they were granted. */
  const early = new Map<string, Early>();
  /** Runs of sessions that are over: they wait again, or their pool was only cut off and tells what they took. */
  const lost = new Map<string, Lost>();

  function remove(id: string): Run | undefined {
    const run = runs.get(id);
    if (run === undefined) return undefined;
    runs.delete(id);
    run.version.inFlight -= 1;
    notePending(run.flow, -run.chargedMs, -run.cost);
    return run;
  }

  function noteEarly(id: string, news: Early): void {
    early.set(id, news);
    for (const [oldest, { at }] of early) {
      if (early.size <= rules.maxEnded && news.at - at < rules.endedMs) break;
      early.delete(oldest);
    }
  }

  function noteLost(id: string, { flow, chargedMs, isReserved }: Run, now: number): void {
    lost.set(id, { flow, chargedMs, at: now, isReserved });
    for (const [oldest, { at }] of lost) {
      if (lost.size <= rules.maxEnded && now - at < rules.maxRunMs) break;
      lost.delete(oldest);
    }
  }

  /** One whose session is over took `ms`, as is known now; undefined: there is none. */
  function settleLost(id: string, ms: number): Lost | undefined {
    const known = lost.get(id);
    if (known === undefined) return undefined;
    lost.delete(id);
    settle(known.flow, ms - known.chargedMs);
    return known;
  }

  return {
    get: (id: string) => runs.get(id),
    size: () => runs.size,
    all: () => runs.values(),
    earlySize: () => early.size,
    lostSize: () => lost.size,
    isFull: () => runs.size >= rules.maxRuns,

    begin(id: string, run: Run): void {
      remove(id);
      settleLost(id, 0);
      runs.set(id, run);
      run.version.inFlight += 1;
      notePending(run.flow, run.chargedMs, run.cost);
      run.version.openAt = run.at;
      for (const [oldest, { at }] of runs) {
        if (runs.size <= rules.maxRuns && run.at - at < rules.maxRunMs) break;
        remove(oldest);
      }
    },

    /** Its pool no longer holds it; it took `ms` of its device. Answers the version, if that is known. */
    end(id: string, ms: number, now: number): Version | null {
      const run = remove(id);
      const known = run ?? settleLost(id, ms);
      if (known === undefined || known.isReserved) noteEarly(id, { at: now, ms, isSettled: known !== undefined });
      if (run === undefined) return null;
      const { flow, version, cost, chargedMs, at } = run;
      settle(flow, ms - chargedMs);
      noteRun(version, ms, cost, at, now);
      if (ms > 0) noteMean(flow, ms / cost);
      version.openAt = now;
      return version;
    },

    /** Whether it ended already, before its shard told that it was granted; asked once. */
    takeEarly(id: string): Early | undefined {
      const news = early.get(id);
      early.delete(id);
      return news;
    },

    /**
     * It is not running after all, or nobody will tell how long it did: it is charged nothing, or, where it `isPaid`,
     * as was estimated. False: no session that there is had it.
     */
    cancel(id: string, isPaid = false): boolean {
      const run = remove(id);
      if (isPaid) lost.delete(id);
      else if (run === undefined) settleLost(id, 0);
      else settle(run.flow, -run.chargedMs);
      return run !== undefined;
    },

    /** The session is over: its runs stay charged as they were estimated until more is known of them. */
    gone(session: string, now: number): void {
      for (const [id, run] of runs) {
        if (run.session !== session) continue;
        remove(id);
        noteLost(id, run, now);
      }
    },
  };
}
