/** `/admin/v1/faults`: makes the embedded log fail on purpose. Only where `LOCAL_FAULTS` is `1`, a test's local stack; else 404. */
import { Hono } from "hono";
import * as z from "zod";
import { EdgeplaneError } from "../../contract/errors.ts";
import { createLogClient } from "../../log/client.ts";
import type { LogFaults } from "../../log/protocol.ts";
import type { App } from "../app.ts";
import { parseWith, readJson } from "../body.ts";

const MAX_BODY_BYTES = 4096;

const FaultsSchema = z.strictObject({
  /** Refuse produces for so long from the time of the call. */
  refuse_produce_ms: z.number().int().min(0).max(3_600_000).optional(),
  /** Lose this share of the records that are accepted. */
  drop_probability: z.number().min(0).max(1).optional(),
  /** Deliver each record this many times. */
  duplicate: z.number().int().min(1).max(100).optional(),
});

/** `PUT /` replaces all faults; `{}` heals the log. They last as long as the broker stays in memory. */
export function faultRoutes(): Hono<App> {
  const routes = new Hono<App>();
  routes.put("/", async (c) => {
    if (c.env.LOCAL_FAULTS !== "1") throw new EdgeplaneError("not_found", "There is nothing at this address.");
    const wanted = parseWith(FaultsSchema, await readJson(c.req.raw, MAX_BODY_BYTES));
    const faults: LogFaults = {};
    if (wanted.refuse_produce_ms !== undefined) faults.refuseProduceUntil = Date.now() + wanted.refuse_produce_ms;
    if (wanted.drop_probability !== undefined) faults.dropProbability = wanted.drop_probability;
    if (wanted.duplicate !== undefined) faults.duplicate = wanted.duplicate;
    await createLogClient(c.env).setFaults(faults);
    return c.json(wanted);
  });
  return routes;
}
