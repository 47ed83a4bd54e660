/**
 * Where jobs come from: what the pool's own settings name (another log that speaks the Upstash dialect, or a Kafka
 * cluster beside it), what the edge names through the control channel, or the edge's own log.
 */
import { readFile } from "node:fs/promises";
import * as z from "zod";
import type { DesiredLog } from "../src/contract/channel.ts";
import type { JobSource } from "./intake/job-source.ts";
import { createUpstashKafka } from "./intake/upstash-kafka.ts";
import { probeUpstash } from "./intake/upstash-probe.ts";
import { createUpstashSource } from "./intake/upstash-source.ts";
import type { Clock } from "./scheduling/clock.ts";
import { SettingsError } from "./settings.ts";
import type { Settings } from "./settings.ts";

export type SourceOptions = { lane: string; session: string; clock: Clock; onProblem(problem: string): void };

/** A log that lanes can be read from. `name` tells two apart, and holds no secret. */
export type JobLog = { name: string; source(options: SourceOptions): JobSource };

export type JobLogs = {
  /** What is read until the edge says which log it produces to. */
  readonly first: JobLog;
  /** The log that the edge asks for, or why this pool can't read it. */
  choose(desired: DesiredLog): JobLog | { problem: string };
};

/**
 * Opens the logs of the settings for the pool `poolId`; one of the pool's own is probed for `lanes` first. Throws
 * `SettingsError`, which says what is wrong.
 */
export async function openJobLogs(settings: Settings, lanes: readonly string[], poolId: string): Promise<JobLogs> {
  const edge = dialectLog(true, {
    url: new URL(`${settings.url.pathname.replace(/\/+$/, "")}/kafka`, settings.url),
    username: "pool",
    password: settings.token,
  });
  const own = await openOwnLog(settings, lanes, poolId);
  const named = new Map<string, JobLog>();
  return {
    first: own ?? edge,
    choose({ driver, epoch, url, username, password }) {
      if (driver === "embedded") return edge;
      if (own !== null) return own;
      if (url === undefined || username === undefined || password === undefined) {
        return {
          problem: `the edge's jobs are in ${url ?? "another log"} now, and this pool has no access to it: give it --log-url and its password, or --kafka-settings`,
        };
      }
      const key = `${epoch} ${url}`;
      const log = named.get(key) ?? dialectLog(false, { url: new URL(url), username, password });
      named.set(key, log);
      return log;
    },
  };
}

async function openOwnLog(settings: Settings, lanes: readonly string[], poolId: string): Promise<JobLog | null> {
  const file = settings["kafka-settings"];
  if (file !== undefined) return openCluster(file, lanes, poolId);
  const url = settings["log-url"];
  if (url === undefined) return null;
  const username = settings["log-username"];
  const password = settings["log-password"];
  // Without a password it is an Edgeplane's own log, which takes the pool's token: the control channel says what is
  // wrong with that.
  if (password === undefined) return dialectLog(true, { url, username, password: settings.token });
  const problem = await probeUpstash(createUpstashKafka({ url, username, password }), url, lanes);
  if (problem !== null) throw new SettingsError(problem);
  return dialectLog(false, { url, username, password });
}

function dialectLog(isServed: boolean, access: { url: URL; username: string; password: string }): JobLog {
  const kafka = createUpstashKafka(access);
  return {
    name: `${access.url.origin}${access.url.pathname}`,
    source: (options) => createUpstashSource({ ...options, kafka, isServed }),
  };
}

/** The native driver and its client are loaded only where they are used. */
async function openCluster(file: string, lanes: readonly string[], poolId: string): Promise<JobLog> {
  const { PoolClusterSchema } = await import("./bridge/settings.ts");
  const { createLaneGroup } = await import("./bridge/kafka/lane-group.ts");
  const { createNativeSource } = await import("./intake/native-kafka.ts");
  try {
    const cluster = PoolClusterSchema.parse(JSON.parse(await readFile(file, "utf8")));
    for (const lane of lanes) {
      const group = createLaneGroup(cluster, lane, poolId);
      await group.probe().finally(() => group.close());
    }
    return {
      name: `kafka ${cluster.brokers.join(",")}`,
      source: ({ lane, clock, onProblem }) =>
        createNativeSource({ group: createLaneGroup(cluster, lane, poolId), clock, onProblem }),
    };
  } catch (error) {
    const [issue] = error instanceof z.ZodError ? error.issues : [];
    const why = error instanceof Error ? error.message : String(error);
    const what = issue === undefined ? why : `${issue.path.join(".") || "top level"}: ${issue.message}`;
    throw new SettingsError(`--kafka-settings ${file}: ${what}`);
  }
}
