/**
 * Where jobs come from, by the settings: the edge's own log, another log that speaks the Upstash dialect (a bridge), or
 * a Kafka cluster beside the pool.
 */
import { readFile } from "node:fs/promises";
import * as z from "zod";
import type { JobSource } from "./intake/job-source.ts";
import { createUpstashKafka } from "./intake/upstash-kafka.ts";
import { createUpstashSource } from "./intake/upstash-source.ts";
import type { Clock } from "./scheduling/clock.ts";
import { SettingsError } from "./settings.ts";
import type { Settings } from "./settings.ts";

export type SourceOptions = { lane: string; session: string; clock: Clock; onProblem(problem: string): void };

/** Makes the source of one lane. */
export type JobLog = (options: SourceOptions) => JobSource;

/** Opens the log of the settings; a cluster is probed for `lanes` first. Throws `SettingsError`, which says what is wrong. */
export async function openJobLog(settings: Settings, lanes: readonly string[]): Promise<JobLog> {
  const file = settings["kafka-settings"];
  if (file !== undefined) return openCluster(file, lanes);
  const url = settings["log-url"] ?? new URL(`${settings.url.pathname.replace(/\/+$/, "")}/kafka`, settings.url);
  const kafka = createUpstashKafka({
    url,
    username: settings["log-username"],
    password: settings["log-password"] ?? settings.token,
  });
  return (options) => createUpstashSource({ ...options, kafka });
}

/** The native driver and its client are loaded only where they are used. */
async function openCluster(file: string, lanes: readonly string[]): Promise<JobLog> {
  const { ClusterSettingsSchema } = await import("./bridge/settings.ts");
  const { createLaneGroup } = await import("./bridge/kafka/lane-group.ts");
  const { createNativeSource } = await import("./intake/native-kafka.ts");
  try {
    const cluster = ClusterSettingsSchema.parse(JSON.parse(await readFile(file, "utf8")));
    for (const lane of lanes) {
      const group = createLaneGroup(cluster, lane);
      await group.probe().finally(() => group.close());
    }
    return ({ lane, clock, onProblem }) =>
      createNativeSource({ group: createLaneGroup(cluster, lane), clock, onProblem });
  } catch (error) {
    const [issue] = error instanceof z.ZodError ? error.issues : [];
    const why = error instanceof Error ? error.message : String(error);
    const what = issue === undefined ? why : `${issue.path.join(".") || "top level"}: ${issue.message}`;
    throw new SettingsError(`--kafka-settings ${file}: ${what}`);
  }
}
