/**
 * `/admin/v1/faults`: makes the embedded log or a lane fail on purpose. Only where `LOCAL_FAULTS` is `1`, a test's
 * local stack; else 404.
 */
import { Hono } from "hono";
import * as z from "zod";
import { EdgeplaneError } from "../../contract/errors.ts";
import { createLogClient } from "../../log/client.ts";
import { LaneNameSchema } from "../../contract/job.ts";
import type { LaneFaults } from "../../lane/faults.ts";
import { objectNamed } from "../../object-calls.ts";
import type { LogFaults } from "../../log/protocol.ts";
import type { App } from "../app.ts";
import { json, operation } from "../operation.ts";

const MAX_BODY_BYTES = 4096;

const FaultsSchema = z.strictObject({
  /** Of this lane; without it, of the embedded log. */
  lane: LaneNameSchema.optional(),
  /** The log refuses produces, a lane all calls, for so long from the time of the call. */
  refuse_produce_ms: z.number().int().min(0).max(3_600_000).optional(),
  /** A lane answers nothing for so long. */
  hang_ms: z.number().int().min(0).max(3_600_000).optional(),
  /** A lane reserves nothing: all must wait for its turn. */
  reserve_nothing: z.boolean().optional(),
  /** A lane dies after so many reservations, before they are used. */
  die_after_reservations: z.number().int().min(1).max(1_000_000).optional(),
  /** Lose this share of the records that are accepted; of a lane, of what pools take and are told. */
  drop_probability: z.number().min(0).max(1).optional(),
  /** Deliver each record this many times. */
  duplicate: z.number().int().min(1).max(100).optional(),
});

const FaultsAnswerSchema = FaultsSchema.extend({
  /** How often a lane's faults before these have struck; null: none were set since it began. */
  struck: z.number().int().nullable().optional(),
});

/**
 * `PUT /` replaces all faults; `{}` heals the log, `{lane}` a lane. They last as long as the broker stays in memory.
 */
export function faultRoutes(): Hono<App> {
  const routes = new Hono<App>();
  routes.put(
    "/",
    operation(
      {
        id: "setLogFaults",
        tag: "Operator",
        summary: "Make the embedded log or a lane fail on purpose",
        description: "Replaces all faults; `{}` heals the log. Only where `LOCAL_FAULTS` is `1`: a test's local stack.",
        access: "operator",
        body: { schema: FaultsSchema, maxBytes: MAX_BODY_BYTES, examples: { healed: {} } },
        answers: { 200: json(FaultsAnswerSchema, "The faults, and what became of those before.") },
      },
      async (c, { body }) => {
        if (c.env.LOCAL_FAULTS !== "1") throw new EdgeplaneError("not_found", "There is nothing at this address.");
        if (body.lane !== undefined) {
          const struck = await objectNamed(c.env.LANE, body.lane).setFaults(laneFaultsOf(body));
          return c.json({ ...body, struck });
        }
        await createLogClient(c.env).setFaults(faultsOf(body));
        return c.json(body);
      },
    ),
  );
  return routes;
}

function laneFaultsOf(wanted: z.output<typeof FaultsSchema>): LaneFaults {
  const { refuse_produce_ms: refuseMs, hang_ms: hangMs, die_after_reservations: dieAfterReservations } = wanted;
  return {
    ...(refuseMs === undefined ? {} : { refuseUntil: Date.now() + refuseMs }),
    ...(hangMs === undefined ? {} : { hangUntil: Date.now() + hangMs }),
    ...(wanted.reserve_nothing === undefined ? {} : { reserveNothing: wanted.reserve_nothing }),
    ...(dieAfterReservations === undefined ? {} : { dieAfterReservations }),
    ...(wanted.drop_probability === undefined ? {} : { dropProbability: wanted.drop_probability }),
    ...(wanted.duplicate === undefined ? {} : { duplicate: wanted.duplicate }),
  };
}

function faultsOf(wanted: z.output<typeof FaultsSchema>): LogFaults {
  const faults: LogFaults = {};
  if (wanted.refuse_produce_ms !== undefined) faults.refuseProduceUntil = Date.now() + wanted.refuse_produce_ms;
  if (wanted.drop_probability !== undefined) faults.dropProbability = wanted.drop_probability;
  if (wanted.duplicate !== undefined) faults.duplicate = wanted.duplicate;
  return faults;
}
