/** `/admin/v1/metrics`: what an operator's Prometheus scrapes of the edge. It asks the embedded log's brokers, and wakes nothing else. */
import { Hono } from "hono";
import * as z from "zod";
import { createLogClient } from "../../log/client.ts";
import { currentLog } from "../../log/current-log.ts";
import { laneLags } from "../../log/lane-lag.ts";
import type { App } from "../app.ts";
import { operation } from "../operation.ts";

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
          "The lag is the embedded log's; of another log the bridge, or the pools that read it natively, tell it.",
        access: "operator",
        answers: { 200: { description: "The metrics.", content: { "text/plain": { schema: z.string() } } } },
      },
      async (c) => {
        const { setting } = await currentLog(c.env);
        const lags = laneLags(await createLogClient(c.env).stats());
        const text = [
          "# HELP edgeplane_log_epoch Moves of the log so far.",
          "# TYPE edgeplane_log_epoch gauge",
          `edgeplane_log_epoch{driver="${setting.choice.driver}"} ${setting.epoch}`,
          "# HELP edgeplane_lane_lag Job records of the embedded log that no pool has committed.",
          "# TYPE edgeplane_lane_lag gauge",
          ...lags.map(({ lane, topic, lag }) => `edgeplane_lane_lag{lane="${lane}",topic="${topic}"} ${lag}`),
        ];
        return c.body(`${text.join("\n")}\n`, 200, { "content-type": CONTENT_TYPE });
      },
    ),
  );
  return routes;
}
