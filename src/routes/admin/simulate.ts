/** `POST /admin/v1/settings/simulate`: a request and a draft, and what each phase would do. */
import type { Hono } from "hono";
import * as z from "zod";
import { phases, scopes } from "../../../plugins/kernel/phases.ts";
import type { Principal } from "../../../plugins/kernel/phases.ts";
import type { BudgetDirectory, Services } from "../../../plugins/kernel/services.ts";
import type { Snapshot } from "../../../plugins/kernel/snapshot.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import { JsonSchema, priorities, PrioritySchema } from "../../contract/prediction.ts";
import { CostViewSchema } from "../../contract/price.ts";
import type { Env } from "../../env.ts";
import { findAccount } from "../../registry/accounts.ts";
import { findVersion } from "../../registry/models.ts";
import { findLatestVersion } from "../../registry/pointers.ts";
import type { Version } from "../../registry/models.ts";
import { snapshotOf } from "../../settings/build.ts";
import { availablePlugins } from "../../settings/plugins.ts";
import { readSettings, withAccountIds } from "../../settings/publish.ts";
import { SettingsSchema } from "../../settings/schema.ts";
import { createServices } from "../../settings/services.ts";
import { simulate } from "../../settings/simulate.ts";
import type { SimulatedRequest } from "../../settings/simulate.ts";
import type { App } from "../app.ts";
import { json, operation } from "../operation.ts";
import { checkedChange } from "../replicate/changed-call.ts";
import { validatorOf } from "../replicate/find-target.ts";
import type { InputValidator } from "../replicate/input-schema.ts";
import { pricingOf } from "../replicate/priced-call.ts";

const RequestSchema = z.strictObject({
  account: z.string().min(1).max(64).optional().meta({
    description:
      "Whose request it is, by id or name. Without it, `headers` say so, as the phase `authenticate` has it.",
  }),
  headers: z.record(z.string(), z.string()).default({}).meta({ description: "Such as `authorization`." }),
  ip: z.string().nullable().default(null).meta({ description: "The caller's address." }),
  model: z
    .string()
    .regex(/^[^/\s]+\/[^/\s]+$/, "owner/name")
    .default("local/hello-world"),
  version: z.string().default("0".repeat(64)),
  lane: z.string().default("default"),
  priority: PrioritySchema.default("normal"),
  cost: z.number().positive().default(1),
  input: z.record(z.string(), JsonSchema).default({}),
  output: JsonSchema.optional().meta({ description: "What the model would answer; without it, it says nothing." }),
  logs: z.string().optional(),
});
const BodySchema = z.strictObject({
  settings: SettingsSchema.optional().meta({ description: "A draft; without it, the settings that hold." }),
  request: RequestSchema,
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
const SimulationSchema = z.object({
  phases: z.array(z.object({ phase: z.enum(phases), decisions: z.array(DecisionSchema) })),
  refused: z.object({ phase: z.enum(phases), code: z.string(), message: z.string() }).nullable(),
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
        description: "Nothing is published, accepted or run; what plugins reserve for the request goes back at once.",
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
          const simulated = await requestOf(c.env, request);
          return c.json(await simulate(c.env, snapshot, await priced(c.env, snapshot, simulated)));
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
      return (await services.budgets.of(principal, model)).map((one) => ({ ...one, alert: null }));
    },
  };
  return { ...services, budgets };
}

/** With its price by these settings. */
async function priced(env: Env, snapshot: Snapshot, request: SimulatedRequest): Promise<SimulatedRequest> {
  const { lane, priority, model } = request.call;
  const pricing = await pricingOf(env, snapshot, {
    accountId: request.principal?.accountId ?? "",
    lane,
    priority,
    model,
  });
  return pricing === null ? request : { ...request, call: { ...request.call, pricing } };
}

async function requestOf(env: Env, given: z.output<typeof RequestSchema>): Promise<SimulatedRequest> {
  const { account, headers, ip, model, version, lane, priority, cost, input, output, logs } = given;
  const [owner = "", name = ""] = model.split("/");
  const found = await versionOf(env, { owner, name }, version);
  const validate: InputValidator = found === null ? () => [] : validatorOf(found);
  const timeouts = { startTimeoutMs: 60_000, totalTimeoutMs: 60_000 };
  return {
    principal: account === undefined ? null : await principalOf(env, account),
    headers,
    onChangedCall: (changed, before, phase) => checkedChange(validate, changed, before, phase),
    call: {
      ...{ clientIp: ip, model: { owner, name, version }, lane, priority, cost, input, ...timeouts },
      deterministic: found?.manifest.deterministic ?? false,
    },
    ...(output === undefined ? {} : { output }),
    ...(logs === undefined ? {} : { logs }),
  };
}

/** The version that is named, or else the model's latest; null for a model that isn't here, which takes anything. */
async function versionOf(env: Env, model: { owner: string; name: string }, id: string): Promise<Version | null> {
  const named = await findVersion(env.DB, null, model, id);
  return named ?? (await findLatestVersion(env.DB, { accountName: model.owner }, model)) ?? null;
}

async function principalOf(env: Env, idOrName: string): Promise<Principal> {
  const account = await findAccount(env.DB, idOrName);
  if (account === null) {
    const invalid = { field: "request.account", description: "there is no such account" };
    const detail = `- ${invalid.field}: ${invalid.description}\n`;
    throw new EdgeplaneError("invalid_input", detail, { invalidFields: [invalid] });
  }
  const { id: accountId, name: accountName, retentionMs, weight } = account;
  const [maxPriority] = priorities;
  return { accountId, accountName, retentionMs, weight, credentialId: "simulated", scopes: [...scopes], maxPriority };
}
