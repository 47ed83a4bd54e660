/**
 * One intake a lane: where its jobs come from, and how much of it the pool has room for.
 *
 *   reading one log ── the edge names another ──▶ reading both ── readBothMs ──▶ reading the new one
 */
import type { Logger } from "pino";
import type { DesiredLog, ModelRoom } from "../src/contract/channel.ts";
import type { Grant } from "../src/contract/claim.ts";
import { createClaimClient } from "./intake/claim-client.ts";
import { Claiming } from "./intake/claiming.ts";
import type { Intake } from "./intake/intake.ts";
import { ServedIntake } from "./intake/served-intake.ts";
import { TopicIntake } from "./intake/topic-intake.ts";
import type { JobSource } from "./intake/job-source.ts";
import type { JobLog, JobLogs } from "./job-log.ts";
import type { Clock } from "./scheduling/clock.ts";
import type { LogProblems } from "./log-problems.ts";
import type { Metrics } from "./telemetry/metrics.ts";
import type { HttpClient } from "./transport/http-client.ts";

/** How long the end of reading an old log may take: it may be away. */
const STOP_LIMIT_MS = 1000;
/** What a scrape waits for a cluster that may be away. */
const LAG_LIMIT_MS = 2000;

export type IntakesOptions = {
  jobLogs: JobLogs;
  session: string;
  /** All that are served now; one that comes later is told with `serve`. */
  lanes(): readonly string[];
  http: HttpClient;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  rooms(lane: string): readonly ModelRoom[];
  channelOpen(): boolean;
  /** A poll says these rooms to the lane. */
  onPoll(lane: string, rooms: readonly ModelRoom[]): () => void;
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
  /** Reads this lane, too, from now on. */
  serve(lane: string): void;
  /** There is work on this lane. */
  work(lane: string): void;
  /** The control channel opened or closed. */
  channelChanged(): void;
  roomChanged(): void;
  /** Resolves when every request has ended that may bring grants and is under way now. */
  settled(): Promise<void>;
  /** Ends all intake within `limitMs`, for good. */
  stop(limitMs: number): Promise<void>;
  /** Reads the log that the edge names, and for a while the one before too. */
  follow(desired: DesiredLog): void;
};

/** `endLeaving` while it is left: takes the end back. */
type Reading = {
  log: JobLog;
  sources: JobSource[];
  claimings: Claiming[];
  intakes: Map<string, Intake>;
  isLeaving: boolean;
  endLeaving: () => void;
};

export function createIntakes(options: IntakesOptions): Intakes {
  const { session, clock, metrics, log } = options;
  const claims = createClaimClient(options.http, session);
  const leaving = new Set<Reading>();
  let isStarted = false;
  let isStopped = false;
  let current = reading(options.jobLogs.first);

  function reading(jobLog: JobLog): Reading {
    const made: Reading = {
      log: jobLog,
      sources: [],
      claimings: [],
      intakes: new Map(),
      isLeaving: false,
      endLeaving: () => {},
    };
    for (const lane of options.lanes()) addLane(made, lane);
    return made;
  }

  function addLane(made: Reading, lane: string): Intake {
    const source = made.log.source({ lane, session, clock, onProblem: (problem) => log.warn({ lane }, problem) });
    const rooms = (): ModelRoom[] => shareOf(options.rooms(lane), made.isLeaving);
    const onRefused = (reason: string): void => metrics.refused.inc({ reason });
    const claiming = new Claiming({ claims, clock, rooms, onGrants: options.onGrants, onRefused });
    const onState = (problem: string | null): void => {
      if (made.isLeaving) return;
      options.onState(problem);
      options.problems.note(lane, problem);
    };
    const onPoll = (said: readonly ModelRoom[]): (() => void) => options.onPoll(lane, said);
    const kind = source.isServed ? ServedIntake : TopicIntake;
    made.sources.push(source);
    made.claimings.push(claiming);
    const intake = new kind({ source, claiming, clock, rooms, channelOpen: options.channelOpen, onPoll, onState });
    made.intakes.set(lane, intake);
    return intake;
  }

  /** Two intakes of a lane share its room; only the new one's jobs start without asking. */
  function shareOf(whole: readonly ModelRoom[], isLeaving: boolean): ModelRoom[] {
    if (leaving.size === 0) return [...whole];
    return whole.map((one) => ({
      ...one,
      room: Math.ceil(one.room / 2),
      startNow: isLeaving ? 0 : Math.min(one.startNow, Math.ceil(one.room / 2)),
    }));
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
    for (const claiming of old.claimings) claiming.stop();
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
    serve(lane) {
      if (isStopped || current.intakes.has(lane)) return;
      for (const made of [current, ...leaving]) {
        const intake = addLane(made, lane);
        if (isStarted) intake.start();
      }
    },
    work(lane) {
      for (const { intakes } of [current, ...leaving]) intakes.get(lane)?.work();
    },
    channelChanged() {
      for (const intake of all()) intake.channelChanged();
    },
    async settled() {
      await Promise.all(
        [current, ...leaving].flatMap(({ claimings }) => claimings.map(async (claiming) => claiming.settled())),
      );
    },
    roomChanged() {
      for (const intake of all()) intake.roomChanged();
    },
    async stop(limitMs) {
      isStopped = true;
      for (const { claimings } of [current, ...leaving]) for (const claiming of claimings) claiming.stop();
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
      // A lane that serves its jobs itself is polled only when it has some: the old log's trouble is over now.
      for (const { isServed, lane } of current.sources) if (isServed) options.problems.note(lane, null);
      old.isLeaving = true;
      leaving.add(old);
      old.endLeaving = clock.after(desired.readBothMs, () => void leave(old));
      for (const intake of old.intakes.values()) intake.channelChanged();
    },
  };
}
