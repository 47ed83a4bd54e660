/** One intake a lane: where its jobs come from, and how much of it the pool has room for. */
import type { Logger } from "pino";
import type { Grant } from "../src/contract/claim.ts";
import { createClaimClient } from "./intake/claim-client.ts";
import { Intake } from "./intake/intake.ts";
import type { JobLog } from "./job-log.ts";
import type { Capacity } from "./runtime/model-runner.ts";
import type { Clock } from "./scheduling/clock.ts";
import type { Settings } from "./settings.ts";
import type { Metrics } from "./telemetry/metrics.ts";
import type { HttpClient } from "./transport/http-client.ts";

export type IntakesOptions = {
  settings: Settings;
  jobLog: JobLog;
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
};

/** In the order of `lanes`. */
export function createIntakes(options: IntakesOptions): Intake[] {
  const { settings, session, clock, metrics, log } = options;
  const claims = createClaimClient(options.http, session);
  return options.lanes.map(
    (lane) =>
      new Intake({
        source: options.jobLog({ lane, session, clock, onProblem: (problem) => log.warn({ lane }, problem) }),
        claims,
        clock,
        idleAfterMs: settings["idle-after-ms"],
        room: () => options.room(lane),
        channelOpen: options.channelOpen,
        onGrants: options.onGrants,
        onRefused: (reason) => metrics.refused.inc({ reason }),
        onState: options.onState,
      }),
  );
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
