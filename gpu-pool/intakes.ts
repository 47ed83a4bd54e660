/**
 * One intake a lane: where its jobs come from, and how much of it the pool has room for.
 *
 *   reading one log ── the edge names another ──▶ reading both ── readBothMs ──▶ reading the new one
 */
import type { Logger } from "pino";
import type { DesiredLog } from "../src/contract/channel.ts";
import type { Grant } from "../src/contract/claim.ts";
import { createClaimClient } from "./intake/claim-client.ts";
import { Intake } from "./intake/intake.ts";
import type { JobSource } from "./intake/job-source.ts";
import type { JobLog, JobLogs } from "./job-log.ts";
import type { Capacity } from "./runtime/model-runner.ts";
import type { Clock } from "./scheduling/clock.ts";
import type { LogProblems } from "./log-problems.ts";
import type { Settings } from "./settings.ts";
import type { Metrics } from "./telemetry/metrics.ts";
import type { HttpClient } from "./transport/http-client.ts";

/** How long the end of reading an old log may take: it may be away. */
const STOP_LIMIT_MS = 1000;
/** What a scrape waits for a cluster that may be away. */
const LAG_LIMIT_MS = 2000;

export type IntakesOptions = {
  settings: Settings;
  jobLogs: JobLogs;
  session: string;
  lanes: readonly string[];
  http: HttpClient;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  room(lane: string): { room: number; startNow: number };
  channelOpen(): boolean;
  onGrants(grants: Grant[]): void;
  onState(problem: string | null): void;
  problems: LogProblems;
};

export type Intakes = {
  /** Of the lanes, in their order. */
  readonly states: string[];
  /** How far the lanes' pools are behind, by topic, where the log's driver tells. Never throws. */
  lags(): Promise<{ lane: string; topic: string; lag: number }[]>;
  /** Begins to poll; called again, it does nothing. */
  start(): void;
  /** There may be work: on `lane`, or on all. */
  nudge(lane?: string): void;
  roomChanged(): void;
  /** Ends all intake within `limitMs`, for good. */
  stop(limitMs: number): Promise<void>;
  /** Reads the log that the edge names, and for a while the one before too. */
  follow(desired: DesiredLog): void;
};

/** `endLeaving` while it is left: takes the end back. */
type Reading = {
  log: JobLog;
  sources: JobSource[];
  intakes: Map<string, Intake>;
  isLeaving: boolean;
  endLeaving: () => void;
};

export function createIntakes(options: IntakesOptions): Intakes {
  const { settings, session, clock, metrics, log, lanes } = options;
  const claims = createClaimClient(options.http, session);
  const leaving = new Set<Reading>();
  let isStarted = false;
  let isStopped = false;
  let current = reading(options.jobLogs.first);

  function reading(jobLog: JobLog): Reading {
    const made: Reading = { log: jobLog, sources: [], intakes: new Map(), isLeaving: false, endLeaving: () => {} };
    for (const lane of lanes) {
      const source = jobLog.source({ lane, session, clock, onProblem: (problem) => log.warn({ lane }, problem) });
      const intake = new Intake({
        source,
        claims,
        clock,
        idleAfterMs: settings["idle-after-ms"],
        room: () => shareOf(options.room(lane), made.isLeaving),
        // What is left there will not be nudged for: it is polled to the end.
        channelOpen: () => !made.isLeaving && options.channelOpen(),
        onGrants: options.onGrants,
        onRefused: (reason) => metrics.refused.inc({ reason }),
        onState: (problem) => {
          if (made.isLeaving) return;
          options.onState(problem);
          options.problems.note(lane, problem);
        },
      });
      made.sources.push(source);
      made.intakes.set(lane, intake);
    }
    return made;
  }

  /** Two intakes of a lane share its room; only the new one's jobs start without asking. */
  function shareOf(whole: { room: number; startNow: number }, isLeaving: boolean): { room: number; startNow: number } {
    if (leaving.size === 0) return whole;
    return { room: Math.ceil(whole.room / 2), startNow: isLeaving ? 0 : whole.startNow };
  }

  function* all(): Iterable<Intake> {
    for (const { intakes } of [current, ...leaving]) yield* intakes.values();
  }

  async function pause(ms: number): Promise<[]> {
    await new Promise<void>((resolve) => clock.after(ms, resolve));
    return [];
  }

  async function leave(old: Reading): Promise<void> {
    leaving.delete(old);
    await Promise.all(Array.from(old.intakes.values(), async (intake) => intake.stop(STOP_LIMIT_MS)));
    log.info({ log: old.log.name }, "no longer reading the log from before");
  }

  /** The reading of a log: one that is being left comes back, as its instance at the log is the same. */
  function open(jobLog: JobLog): Reading {
    const known = [...leaving].find((one) => one.log === jobLog);
    if (known === undefined) {
      const fresh = reading(jobLog);
      if (isStarted) for (const intake of fresh.intakes.values()) intake.start();
      return fresh;
    }
    known.endLeaving();
    known.isLeaving = false;
    leaving.delete(known);
    return known;
  }

  return {
    get states() {
      return Array.from(current.intakes.values(), ({ state }) => state);
    },
    async lags() {
      const asked = current.sources.map(async (source) => {
        const lags = (await source.lag?.()) ?? new Map<string, number>();
        return Array.from(lags, ([topic, lag]) => ({ lane: source.lane, topic, lag }));
      });
      const answers = await Promise.race([Promise.allSettled(asked), pause(LAG_LIMIT_MS)]);
      return answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
    },
    start() {
      if (isStarted || isStopped) return;
      isStarted = true;
      for (const intake of current.intakes.values()) intake.start();
    },
    nudge(lane) {
      for (const { intakes } of [current, ...leaving]) {
        if (lane === undefined) for (const intake of intakes.values()) intake.nudge();
        else intakes.get(lane)?.nudge();
      }
    },
    roomChanged() {
      for (const intake of all()) intake.roomChanged();
    },
    async stop(limitMs) {
      isStopped = true;
      await Promise.all(Array.from(all(), async (intake) => intake.stop(limitMs)));
    },
    follow(desired) {
      const chosen = options.jobLogs.choose(desired);
      options.problems.noAccess("problem" in chosen ? chosen.problem : null);
      if ("problem" in chosen) {
        log.error({ epoch: desired.epoch }, chosen.problem);
        return;
      }
      if (isStopped || chosen === current.log) return;
      const old = current;
      log.info({ epoch: desired.epoch, log: chosen.name, before: old.log.name }, "the edge has moved to another log");
      current = open(chosen);
      old.isLeaving = true;
      leaving.add(old);
      old.endLeaving = clock.after(desired.readBothMs, () => void leave(old));
      for (const intake of old.intakes.values()) intake.nudge();
    },
  };
}

/** A lane's room is what all its models would take together, since a job's model is known only when it is here. */
export function roomOf(runners: readonly { capacity(): Capacity }[]): { room: number; startNow: number } {
  let room = 0;
  let startNow = 0;
  for (const runner of runners) {
    const capacity = runner.capacity();
    room += capacity.limit - capacity.waiting;
    startNow += capacity.startNow;
  }
  return { room, startNow };
}
