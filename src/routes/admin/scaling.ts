/** `/admin/v1/scaling`: which machines are wanted, which there are, and why. */
import { Hono } from "hono";
import * as z from "zod";
import { EdgeplaneError } from "../../contract/errors.ts";
import { amountOf } from "../../contract/price.ts";
import { HardwareSchema, MachineIdSchema, WantedMachinesSchema } from "../../contract/provider.ts";
import { ScalingSettingsSchema } from "../../contract/scaling.ts";
import type { Env } from "../../env.ts";
import { callObject } from "../../object-calls.ts";
import { machineStates } from "../../scaling/object/machine.ts";
import { scalerObject } from "../../scaling/object/remote.ts";
import type { ScalingStatus } from "../../scaling/object/status.ts";
import { whatIf } from "../../scaling/what-if.ts";
import type { Outcome } from "../../scaling/what-if.ts";
import type { App } from "../app.ts";
import { empty, json, operation } from "../operation.ts";
import { MAX_ADMIN_BYTES } from "./page.ts";
import { scalingMetrics } from "./scaling-metrics.ts";

const TEXT = "text/plain; version=0.0.4; charset=utf-8";
const CostSchema = z.string().meta({ description: "In the settings' currency.", examples: ["0.001250000"] });
const WhySchema = z.string().meta({ description: "In a sentence, with the numbers." });

const ClassSchema = z.object({
  hardware: HardwareSchema,
  wanted: z.int().meta({ description: "Machines that there should be." }),
  there: z.int().meta({ description: "Those whose pool is connected." }),
  starting: z.int(),
  draining: z.int(),
  why: WhySchema,
  spent: CostSchema.meta({ description: "In this UTC month." }),
});
const ModelSchema = z.object({
  model: z.string().meta({ description: "`owner/name`." }),
  version: z.string(),
  hardware: HardwareSchema.nullable().meta({ description: "The class of its machines; null: it gets none." }),
  wanted: z.int(),
  waiting: z.int(),
  waiting_s: z.number().meta({ description: "For how long something has waited without a break." }),
  running: z.int(),
  why: WhySchema,
});
const MachineSchema = z.object({
  id: z.string(),
  hardware: HardwareSchema,
  provider: z.string(),
  offer: z.string(),
  state: z.enum(machineStates),
  why: z.string(),
  age_s: z.int().meta({ description: "Since it was decided to rent it." }),
  cost: CostSchema,
  session: z.string().nullable().meta({ description: "Of its pool, as `GET /admin/v1/pools` names it." }),
});
const ProviderSchema = z.object({
  name: z.string(),
  kind: z.string(),
  is_here: z.boolean().meta({ description: "Whether it was heard lately: else nothing is rented from it." }),
  heard_at: z.iso.datetime(),
  offers: z.int(),
  problem: z.string().nullable(),
  balance: z.string().nullable(),
  is_low: z.boolean().meta({ description: "It has less left than `low_balance` of the settings." }),
  orphans: z.int().meta({ description: "Machines with this product's name in its list that nobody wants." }),
  orphans_returned: z.int(),
  duplicates_returned: z.int(),
});
const ScalingSchema = z
  .object({
    is_on: z.boolean().meta({ description: "Whether machines may be rented." }),
    currency: z.string(),
    spent: CostSchema.meta({ description: "By all machines, in this UTC month." }),
    classes: z.array(ClassSchema),
    models: z.array(ModelSchema),
    machines: z.array(MachineSchema),
    providers: z.array(ProviderSchema),
    counts: z.record(z.string(), z.int()).meta({ description: "Since the scaler's last start: what went wrong." }),
  })
  .meta({ id: "ScalingState" });

const OutcomeSchema = z.object({
  model: z.string(),
  version: z.string(),
  arrivals: z.int().meta({ description: "In the last day." }),
  simulated: z.int().meta({ description: "The latest of them, which were simulated." }),
  over_s: z.number().meta({ description: "From the first of these to the last." }),
  cost: CostSchema,
  machine_s: z.number().meta({ description: "Seconds of machines that are paid for." }),
  most_machines: z.int(),
  mean_wait_s: z.number(),
  p95_wait_s: z.number(),
  late: z.number().meta({ description: "The share of them that waited longer than the target." }),
});
const SimulatedSchema = z
  .object({
    cost: CostSchema,
    models: z.array(OutcomeSchema),
    left_out: z.array(z.object({ model: z.string(), why: z.string() })),
  })
  .meta({ id: "SimulatedScaling" });

export function scalingRoutes(): Hono<App> {
  const routes = new Hono<App>();

  routes.get(
    "/",
    operation(
      {
        id: "getScaling",
        tag: "Operator",
        summary: "Which machines are wanted, which there are, and why",
        access: "operator",
        answers: { 200: json(ScalingSchema, "Classes, models, machines and providers.") },
      },
      async (c) => c.json(show(await statusOf(c.env))),
    ),
  );

  routes.post(
    "/simulate",
    operation(
      {
        id: "simulateScaling",
        tag: "Operator",
        summary: "What settings would have cost and let wait, over the last day's arrivals",
        description:
          "Each model by itself, on machines of the cheapest offer that does; 5 models, and 20,000 arrivals together, at most. Nothing is changed.",
        access: "operator",
        body: {
          schema: z.strictObject({
            scaling: ScalingSettingsSchema.optional().meta({ description: "A draft; without it, what holds." }),
          }),
          maxBytes: MAX_ADMIN_BYTES,
          examples: { warm: { scaling: { classes: { cpu: { min: 1 } } } } },
        },
        answers: { 200: json(SimulatedSchema, "By model, and in all.") },
      },
      async (c, { body: { scaling } }) => {
        const { asked, leftOut } = await callObject(() => scalerObject(c.env).past(scaling ?? null));
        const outcomes = whatIf(asked);
        return c.json({
          cost: amountOf(outcomes.reduce((sum, { costNano }) => sum + costNano, 0)),
          models: outcomes.map(showOutcome),
          left_out: leftOut,
        });
      },
    ),
  );

  routes.delete(
    "/machines/:machine",
    operation(
      {
        id: "forgetMachine",
        tag: "Operator",
        summary: "Forget a machine whose provider is gone",
        description:
          "For one whose provider service was taken away for good: it counts as paid until somebody says that it is gone. Look at the provider first: nothing is returned there. Should its service come back and list it, it returns it as one that nobody wants. 409 while the service, or the machine's pool, is heard.",
        access: "operator",
        path: z.object({ machine: MachineIdSchema }),
        answers: { 204: empty("It costs nothing from now on.") },
        errors: ["not_found", "conflict"],
      },
      async (c, { path: { machine } }) => {
        const found = await callObject(() => scalerObject(c.env).forget(machine));
        if (found === null) throw new EdgeplaneError("not_found", `There is no machine ${machine}.`);
        if (found !== true) throw new EdgeplaneError("conflict", found);
        return c.body(null, 204);
      },
    ),
  );

  return routes;
}

function showOutcome({ name, ...one }: Outcome): z.output<typeof OutcomeSchema> {
  const [model = "", version = ""] = name.split(" ");
  return {
    model,
    version,
    arrivals: one.arrivals,
    simulated: one.simulated,
    over_s: one.overS,
    cost: amountOf(one.costNano),
    machine_s: one.machineS,
    most_machines: one.mostMachines,
    mean_wait_s: one.meanWaitS,
    p95_wait_s: one.p95WaitS,
    late: one.late,
  };
}

/** For those that start machines themselves; by a token that reads nothing else, or the operator's key. */
export function scalingMetricRoutes(): Hono<App> {
  const routes = new Hono<App>();

  routes.get(
    "/",
    operation(
      {
        id: "getScalingMetrics",
        tag: "Operator",
        summary: "Metrics of scaling, for Prometheus",
        access: "metrics",
        answers: { 200: { description: "The metrics.", content: { "text/plain": { schema: z.string() } } } },
      },
      async (c) => c.body(scalingMetrics(await statusOf(c.env)), 200, { "content-type": TEXT }),
    ),
  );

  routes.get(
    "/:hardware",
    operation(
      {
        id: "getWantedMachines",
        tag: "Operator",
        summary: "How many machines of a class are wanted",
        description: "What KEDA's `metrics-api` scaler reads, with `valueLocation: wanted` and `targetValue: 1`.",
        access: "metrics",
        path: z.object({ hardware: HardwareSchema }),
        answers: { 200: json(WantedMachinesSchema, "The class.") },
      },
      async (c, { path: { hardware } }) => {
        const { classes, models } = await statusOf(c.env);
        const found = classes.find((one) => one.hardware === hardware);
        if (found === undefined) throw new EdgeplaneError("not_found", `There is no class ${hardware}.`);
        const own = models.filter((one) => one.hardware === hardware);
        return c.json({
          hardware,
          wanted: found.wanted,
          there: found.there,
          waiting: own.reduce((sum, { waiting }) => sum + waiting, 0),
          running: own.reduce((sum, { running }) => sum + running, 0),
        });
      },
    ),
  );

  return routes;
}

function statusOf(env: Env): Promise<ScalingStatus> {
  return callObject(() => scalerObject(env).status());
}

function show(status: ScalingStatus): z.output<typeof ScalingSchema> {
  return {
    is_on: status.isOn,
    currency: status.currency,
    spent: amountOf(status.spentNano),
    classes: status.classes.map(({ spentNano, ...one }) => ({ ...one, spent: amountOf(spentNano) })),
    models: status.models.map(({ waitingS, ...one }) => ({ ...one, waiting_s: waitingS })),
    machines: status.machines.map(({ ageS, costNano, ...one }) => ({ ...one, age_s: ageS, cost: amountOf(costNano) })),
    providers: status.providers.map((one) => ({
      name: one.name,
      kind: one.kind,
      is_here: one.isHere,
      heard_at: new Date(one.heardAtMs).toISOString(),
      offers: one.offers,
      problem: one.problem,
      balance: one.balanceNano === null ? null : amountOf(one.balanceNano),
      is_low: one.isLow,
      orphans: one.orphans,
      orphans_returned: one.orphansReturned,
      duplicates_returned: one.duplicatesReturned,
    })),
    counts: status.counts,
  };
}
