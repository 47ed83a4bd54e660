/** `POST /admin/v1/settings/simulate`: a request and a draft, and what each phase would do. */
import type { Hono } from "hono";
import * as z from "zod";
import { phases } from "../../../plugins/kernel/phases.ts";
import type { BudgetDirectory, Services } from "../../../plugins/kernel/services.ts";
import { arms } from "../../contract/canary.ts";
import { JsonSchema } from "../../contract/prediction.ts";
import { CostViewSchema } from "../../contract/price.ts";
import type { Env } from "../../env.ts";
import { snapshotOf } from "../../settings/build.ts";
import { availablePlugins } from "../../settings/plugins.ts";
import { readSettings, withAccountIds } from "../../settings/publish.ts";
import { SettingsSchema } from "../../settings/schema.ts";
import { createServices } from "../../settings/services.ts";
import { simulate } from "../../settings/simulate.ts";
import type { App } from "../app.ts";
import { json, operation } from "../operation.ts";
import { simulatedRequest, SimulatedRequestSchema } from "./simulated-request.ts";

const BodySchema = z.strictObject({
  settings: SettingsSchema.optional().meta({ description: "A draft; without it, the settings that hold." }),
  request: SimulatedRequestSchema,
});

const DecisionSchema = z.object({
  plugin: z.string(),
  verdict: z.enum(["continue", "reject", "shadow", "broken", "answer"]),
  changed: z.boolean().meta({ description: "It handed on something else than it was given." }),
  code: z.string().nullable(),
  message: z.string().nullable(),
  findings: z.array(z.object({ category: z.string(), rule: z.string() })),
  ms: z.number().meta({ description: "How long it took. Deployed, the clock stands still while a plugin computes." }),
});
const ChoiceSchema = z.object({
  version: z.string(),
  by: z.enum(["request", "rule", "canary", "plugin"]).meta({
    description: "What decided: what the request names, a rule of the model, its canary, or a plugin of `route`.",
  }),
  rule: z.int().nullable().meta({ description: "Which of the model's rules, from 0." }),
  canary: z
    .object({ version: z.string(), percent: z.number(), sticky_by: z.string(), arm: z.enum(arms) })
    .nullable()
    .meta({ description: "The canary that it takes part in: where each prediction is drawn, this one's own draw." }),
});
const SimulationSchema = z.object({
  phases: z.array(z.object({ phase: z.enum(phases), decisions: z.array(DecisionSchema) })),
  refused: z
    .object({
      phase: z.enum(phases).nullable().meta({ description: "Null: the gateway itself refuses it." }),
      code: z.string(),
      message: z.string(),
    })
    .nullable(),
  chosen: ChoiceSchema.nullable().meta({
    description: "The version that it would get. Null of a model that isn't here, which takes anything.",
  }),
  input: JsonSchema.meta({ description: "As the model would get it; null where it was refused." }),
  output: JsonSchema.meta({ description: "As the client would get it." }),
  cost: CostViewSchema.nullable().meta({ description: "What it should cost; null where its model has no price." }),
  logs: z.string().nullable(),
});

export function addSimulateRoute(routes: Hono<App>, maxBytes: number): void {
  routes.post(
    "/simulate",
    operation(
      {
        id: "simulateSettings",
        tag: "Operator",
        summary: "See what settings would do with a request",
        description:
          "The request gets its version as a client's does: by a deployment, by the model's rules and canaries. Nothing is published, accepted or run; what plugins reserve for the request goes back at once. Plugins that came with the version are asked, too: their names begin with `pushed:`.",
        access: "operator",
        body: {
          schema: BodySchema,
          maxBytes,
          examples: {
            draft: {
              settings: { plugins: { "api-key": {} } },
              request: { account: "local", input: { text: "hello" } },
            },
          },
        },
        answers: { 200: json(SimulationSchema, "What each plugin decided, phase by phase.") },
        errors: ["plugin_missing", "plugin_cycle", "plugin_invalid"],
      },
      async (c, { body: { settings: draft, request } }) => {
        const numbered =
          draft === undefined
            ? (await readSettings(c.env, null)).numbered
            : { number: 0, settings: await withAccountIds(c.env, draft) };
        const plugins = await availablePlugins(c.env, numbered.settings, "at once");
        const snapshot = await snapshotOf(numbered, plugins, quietServices(c.env));
        try {
          const settings = { snapshot, pushed: numbered.settings.pushed_plugins };
          return c.json(await simulate(c.env, snapshot, await simulatedRequest(c.env, settings, request)));
        } finally {
          await snapshot.dispose();
        }
      },
    ),
  );
}

/** Services whose budgets tell nobody: a draft that refuses is no news for their receivers. */
function quietServices(env: Env): Services {
  const services = createServices(env);
  const budgets: BudgetDirectory = {
    async of(principal, model) {
      return (await services.budgets.of(principal, model)).map((one) => ({ ...one, isQuiet: true as const }));
    },
  };
  return { ...services, budgets };
}
