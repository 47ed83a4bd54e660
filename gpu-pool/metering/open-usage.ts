/** What a pool session tells of its devices, as its options want it. */
import type { Logger } from "pino";
import type { UsageReport } from "../../src/contract/usage.ts";
import type { Clock } from "../scheduling/clock.ts";
import type { StateDir } from "../state-dir.ts";
import type { HttpClient } from "../transport/http-client.ts";
import type { Meter } from "./meter.ts";
import { createUsageFile } from "./usage-file.ts";
import { UsageSender } from "./usage-sender.ts";

type Options = { clock: Clock; log: Logger; state: Pick<StateDir, "usagePath"> };

export function openUsage(
  { clock, log, state }: Options,
  session: string,
  http: HttpClient,
  meter: Meter,
  reports: () => UsageReport[],
): UsageSender {
  const file = createUsageFile(state.usagePath, (problem) =>
    log.warn({ problem }, "what is measured can't be kept on disk; a kill loses what the edge has not taken"),
  );
  return new UsageSender({
    ...{ http, clock, session, file, reports },
    instances: meter.instances,
    busyUs: () => meter.busyUs(),
    wallMs: () => Date.now(),
    onRefused: (why) => log.error({ why }, "the edge refused what was measured of devices as wrong"),
  });
}
