/** `/admin/v1/faults`: makes the embedded log fail on purpose. Only where `LOCAL_FAULTS` is `1`, a test's local stack; else 404. */
import { Hono } from "hono";
import * as z from "zod";
import { EdgeplaneError } from "../../contract/errors.ts";
import { createLogClient } from "../../log/client.ts";
import type { LogFaults } from "../../log/protocol.ts";
import type { App } from "../app.ts";
import { json, operation } from "../operation.ts";

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
  routes.put(
    "/",
    operation(
      {
        id: "setLogFaults",
        tag: "Operator",
        summary: "Make the embedded log fail on purpose",
        description: "Replaces all faults; `{}` heals the log. Only where `LOCAL_FAULTS` is `1`: a test's local stack.",
        access: "operator",
        body: { schema: FaultsSchema, maxBytes: MAX_BODY_BYTES, examples: { healed: {} } },
        answers: { 200: json(FaultsSchema, "The faults.") },
      },
      async (c, { body }) => {
        if (c.env.LOCAL_FAULTS !== "1") throw new EdgeplaneError("not_found", "There is nothing at this address.");
        await createLogClient(c.env).setFaults(faultsOf(body));
        return c.json(body);
      },
    ),
  );
  return routes;
}

function faultsOf(wanted: z.output<typeof FaultsSchema>): LogFaults {
  const faults: LogFaults = {};
  if (wanted.refuse_produce_ms !== undefined) faults.refuseProduceUntil = Date.now() + wanted.refuse_produce_ms;
  if (wanted.drop_probability !== undefined) faults.dropProbability = wanted.drop_probability;
  if (wanted.duplicate !== undefined) faults.duplicate = wanted.duplicate;
  return faults;
}
