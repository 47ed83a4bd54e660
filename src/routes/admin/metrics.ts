/**
 * `/admin/v1/metrics`: what an operator's Prometheus scrapes of the edge. It asks the lanes, and wakes nothing else.
 */
import { Hono } from "hono";
import * as z from "zod";
import { jobTopic } from "../../contract/job.ts";
import { priorities } from "../../contract/prediction.ts";
import type { Env } from "../../env.ts";
import type { LaneStats } from "../../lane/types.ts";
import { currentLog } from "../../log/current-log.ts";
import { callObject, objectNamed } from "../../object-calls.ts";
import { knownLanes } from "../../registry/log-settings.ts";
import { settingsObject } from "../../settings/remote.ts";
import { within } from "../../shard/within.ts";
import { log, reasonOf } from "../../telemetry/log.ts";
import type { App } from "../app.ts";
import { operation } from "../operation.ts";

/** A lane that takes longer is not told: Prometheus waits for all of them, 10 s unless the operator says otherwise. */
const LANE_LIMIT_MS = 3000;
const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

export function metricsRoutes(): Hono<App> {
  const routes = new Hono<App>();
  routes.get(
    "/",
    operation(
      {
        id: "getMetrics",
        tag: "Operator",
        summary: "Metrics of the edge, for Prometheus",
        description:
          "The lag is what waits in the lanes; what of it lies in a real Kafka the bridge, or the pools that read it natively, tell.",
        access: "operator",
        answers: { 200: { description: "The metrics.", content: { "text/plain": { schema: z.string() } } } },
      },
      async (c) => {
        const { setting } = await currentLog(c.env);
        const lanes = await statsOfLanes(c.env);
        const settings = await callObject(() => settingsObject(c.env).stats());
        const text = [
          "# HELP edgeplane_log_epoch Moves of the log so far.",
          "# TYPE edgeplane_log_epoch gauge",
          `edgeplane_log_epoch{driver="${setting.choice.driver}"} ${setting.epoch}`,
          "# HELP edgeplane_lane_lag Predictions that wait in a lane, by the topic that their jobs have.",
          "# TYPE edgeplane_lane_lag gauge",
          ...lanes.flatMap(({ lane, stats }) =>
            (stats === null ? [] : priorities).map((priority) => {
              const topic = jobTopic(lane, priority);
              return `edgeplane_lane_lag{lane="${lane}",topic="${topic}"} ${stats?.waiting[priority]}`;
            }),
          ),
          "# HELP edgeplane_lane_up Whether a lane answered: 0 for one whose lag is not told now.",
          "# TYPE edgeplane_lane_up gauge",
          ...lanes.map(({ lane, stats }) => `edgeplane_lane_up{lane="${lane}"} ${stats === null ? 0 : 1}`),
          "# HELP edgeplane_settings_number The number of the settings that hold.",
          "# TYPE edgeplane_settings_number gauge",
          `edgeplane_settings_number ${settings.number}`,
          "# HELP edgeplane_settings_stale_served_total Requests that went by settings which could not be renewed.",
          "# TYPE edgeplane_settings_stale_served_total counter",
          `edgeplane_settings_stale_served_total ${settings.staleServed}`,
          "# HELP edgeplane_plugin_verdicts_total What plugins decided: shadow, reject, change, note, broken.",
          "# TYPE edgeplane_plugin_verdicts_total counter",
          ...settings.verdicts.map(
            ({ plugin, phase, action, count }) =>
              `edgeplane_plugin_verdicts_total{plugin="${plugin}",phase="${phase}",action="${action}"} ${count}`,
          ),
          "# HELP edgeplane_audit_events_total Verdicts told to the topic audit and to receivers, each by itself, as far as isolates said so.",
          "# TYPE edgeplane_audit_events_total counter",
          `edgeplane_audit_events_total{outcome="published"} ${settings.audit.published}`,
          `edgeplane_audit_events_total{outcome="dropped"} ${settings.audit.dropped}`,
        ];
        return c.body(`${text.join("\n")}\n`, 200, { "content-type": CONTENT_TYPE });
      },
    ),
  );
  return routes;
}

/** `stats` null: that lane could not be asked, and the log says why. */
async function statsOfLanes(env: Env): Promise<{ lane: string; stats: LaneStats | null }[]> {
  const lanes = await knownLanes(env.DB);
  return Promise.all(
    lanes.map(async (lane) => {
      const asked = callObject(async () => objectNamed(env.LANE, lane).stats());
      const stats = await within(asked, LANE_LIMIT_MS).catch((error: unknown) => {
        log.warn("lane_not_asked", { lane, reason: reasonOf(error) });
        return null;
      });
      return { lane, stats };
    }),
  );
}
