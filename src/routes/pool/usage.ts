/** `POST /pool/v1/usage`: what a pool's instances had of its devices while no attempt ran there. */
import { Hono } from "hono";
import { IntervalsReplySchema, IntervalsRequestSchema } from "../../contract/usage.ts";
import { isWithin, takeIntervals } from "../../metering/intervals.ts";
import type { App } from "../app.ts";
import { json, operation } from "../operation.ts";
import { devicesBehind, toldDevices } from "./told-devices.ts";

const MAX_BYTES = 512 * 1024;

export function poolUsageRoutes(): Hono<App> {
  const routes = new Hono<App>();
  routes.post(
    "/",
    operation(
      {
        id: "reportIntervals",
        tag: "Pools",
        summary: "Report what instances had of devices while no attempt ran",
        description:
          "Intervals are numbered within the session: one that comes again is taken once. The reply names the number after the last that was taken.",
        access: "pool",
        body: {
          schema: IntervalsRequestSchema,
          maxBytes: MAX_BYTES,
          examples: {
            unused: {
              ...{ session: "session-1", from: 0 },
              intervals: [
                {
                  ...{ instance: "0", model: null, version: null, device: "NVIDIA H200", phase: "unused" },
                  ...{ gpuUs: 60_000_000, endedMsAgo: 20, lengthMs: 60_000 },
                },
              ],
            },
          },
        },
        answers: { 200: json(IntervalsReplySchema, "Taken.") },
        errors: ["invalid_input"],
      },
      async (c, { body }) => {
        const pool = c.get("pool");
        const isOnOne = body.intervals.every((interval) => isWithin(interval, 1));
        const devices = isOnOne ? 1 : await toldDevices(c.env, body.session, pool);
        const tokenDevices = await devicesBehind(c.env, pool);
        return c.json({ next: await takeIntervals(c.env, body, { ...pool, devices, tokenDevices }, Date.now()) });
      },
    ),
  );
  return routes;
}
