/** The request of a simulation: who asks, and which version it gets, as a client's own request has them. */
import * as z from "zod";
import { scopes } from "../../../plugins/kernel/phases.ts";
import type { Principal } from "../../../plugins/kernel/phases.ts";
import type { Snapshot } from "../../../plugins/kernel/snapshot.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import { derivedPredictionId, newPredictionId } from "../../contract/ids.ts";
import type { Manifest } from "../../contract/manifest.ts";
import type { ModelConfiguration } from "../../contract/model-configuration.ts";
import { numericVar } from "../../contract/numeric-vars.ts";
import { JsonSchema, priorities, PrioritySchema } from "../../contract/prediction.ts";
import { keyFor } from "../../contract/signing.ts";
import type { Env } from "../../env.ts";
import { findAccount } from "../../registry/accounts.ts";
import type { Version } from "../../registry/models.ts";
import { findLatestVersion } from "../../registry/pointers.ts";
import { guardsOf } from "../../sandbox/pushed/guards.ts";
import type { PushedPolicy } from "../../sandbox/pushed/policy.ts";
import type { SimulatedChoice, SimulatedRequest, SimulatedTarget } from "../../settings/simulate.ts";
import { checkedChange } from "../replicate/changed-call.ts";
import { checkRequest } from "../replicate/check-request.ts";
import { chooseVersion } from "../replicate/choose-version.ts";
import type { Choice, Choosing } from "../replicate/choose-version.ts";
import { ownDeployment } from "../replicate/deployments.ts";
import { validatorOf } from "../replicate/find-target.ts";
import type { InputValidator } from "../replicate/input-schema.ts";
import { pricingOf } from "../replicate/priced-call.ts";
import { withVersion } from "../replicate/screen-call.ts";
import { clientKey } from "../replicate/submission.ts";
import type { AcceptedCall } from "../replicate/submission.ts";

/** Of a model that isn't here. */
const NO_VERSION = "0".repeat(64);
const NO_MODEL_TIMEOUT_MS = 60_000;

const NamedSchema = z.string().regex(/^[^/\s]+\/[^/\s]+$/, "owner/name");

export const SimulatedRequestSchema = z.strictObject({
  account: z.string().min(1).max(64).optional().meta({
    description:
      "Whose request it is, by id or name. Without it, `headers` say so, as the phase `authenticate` has it.",
  }),
  headers: z.record(z.string(), z.string()).default({}).meta({
    description:
      "Such as `authorization`, those that rules and canaries look at, and `idempotency-key`: requests of one key get one version.",
  }),
  ip: z.string().nullable().default(null).meta({ description: "The caller's address." }),
  model: NamedSchema.default("local/hello-world"),
  version: z.string().min(1).max(64).optional().meta({
    description: "A version's digits, or an alias; without it, the request names the model alone.",
  }),
  deployment: NamedSchema.optional().meta({
    description: "A deployment of the account, which then says model and version, in place of those here.",
  }),
  lane: z.string().optional().meta({ description: "In place of the version's own." }),
  priority: PrioritySchema.default("normal"),
  cost: z.number().positive().default(1),
  input: z.record(z.string(), JsonSchema).default({}),
  output: JsonSchema.optional().meta({ description: "What the model would answer; without it, it says nothing." }),
  logs: z.string().optional(),
});
type Given = z.output<typeof SimulatedRequestSchema>;

/** The settings that are simulated: what was built of them, and their word on plugins of pushed models. */
export type SimulatedSettings = { snapshot: Snapshot; pushed: PushedPolicy };

export async function simulatedRequest(env: Env, settings: SimulatedSettings, given: Given): Promise<SimulatedRequest> {
  const { account, headers, output, logs } = given;
  return {
    principal: account === undefined ? null : await principalOf(env, account),
    headers,
    target: async (principal) => targetOf(env, settings, given, principal),
    ...(output === undefined ? {} : { output }),
    ...(logs === undefined ? {} : { logs }),
  };
}

/** As a client's request finds its version. A model that isn't here takes anything. */
async function targetOf(
  env: Env,
  { snapshot, pushed }: SimulatedSettings,
  given: Given,
  principal: Principal,
): Promise<SimulatedTarget> {
  const { input, priority } = given;
  const sent = new Map(Object.entries(given.headers).map(([name, value]) => [name.toLowerCase(), value]));
  const header = (name: string) => sent.get(name);
  const predictionId = await idOf(env, principal, header("idempotency-key"));
  const named = await namedBy(env, given, principal);
  const choice = await choiceOf(env, named, { principal, predictionId, deployment: named.deployment, header });
  const version = choice?.version ?? null;
  if (version !== null) checkRequest(principal, version, input, priority);
  const callOf = (of: Version | null): AcceptedCall =>
    callWith(given, named, { principal, predictionId }, of?.manifest);
  const call = callOf(version);
  const pricing = await pricingOf(env, snapshot, { ...call, accountId: principal.accountId });
  const checks = (of: Version | null): SimulatedTarget["onChangedCall"] => {
    const validate: InputValidator = of === null ? () => [] : validatorOf(of);
    return (changed, before, phase) => checkedChange(validate, changed, before, phase);
  };
  const chosen = choice === null ? null : shownChoice(choice);
  return {
    call: pricing === null ? call : { ...call, pricing },
    chosen,
    onChangedCall: checks(version),
    async settle(changed) {
      if (version === null) return { call: changed, chosen, own: null, onChangedCall: checks(null) };
      const { inputBytes, ...accepted } = changed;
      const moved = await withVersion(env.DB, accepted, { call, version }, callOf);
      const { version: id } = moved.version.manifest;
      return {
        call: { ...moved.call, inputBytes },
        chosen: moved.version === version ? chosen : { version: id, by: "plugin", rule: null, canary: null },
        own: await ownPlugins(env, pushed, moved),
        onChangedCall: checks(moved.version),
      };
    },
  };
}

/** The plugins that came with the version; null for none. Its owner is told of no fault in what never happened. */
async function ownPlugins(env: Env, pushed: PushedPolicy, { call, version }: { call: AcceptedCall; version: Version }) {
  const plugins = version.bundle?.plugins ?? null;
  return plugins === null ? null : guardsOf(env, pushed, call.model, plugins, () => {});
}

/** What the request names: a model with or without a version, or what a deployment (its own name) says. */
type Named = {
  model: { owner: string; name: string };
  version: string | null;
  deployment: string | null;
  configuration: ModelConfiguration | null;
};

/** Throws `not_found` for a deployment that the caller hasn't. */
async function namedBy({ DB }: Env, given: Given, principal: Principal): Promise<Named> {
  if (given.deployment === undefined)
    return { model: pathOf(given.model), version: given.version ?? null, deployment: null, configuration: null };
  const { name, model, version, configuration } = await ownDeployment(DB, principal, pathOf(given.deployment));
  return { model, version, deployment: name, configuration };
}

async function idOf(env: Env, { accountId }: Principal, idempotencyKey: string | undefined): Promise<string> {
  const shards = numericVar(env, "SHARD_COUNT");
  const key = clientKey(undefined, idempotencyKey);
  if (key === null) return newPredictionId(shards);
  return derivedPredictionId(await keyFor(env.EDGEPLANE_SECRET, "ids"), accountId, key, shards);
}

/** Null for a model that nobody has. */
async function choiceOf(env: Env, { model, version, deployment }: Named, asking: Choosing): Promise<Choice | null> {
  try {
    return await chooseVersion(env.DB, { model, version }, asking);
  } catch (error) {
    if (deployment !== null) throw error;
    const ofOwner = await findLatestVersion(env.DB, { accountName: model.owner }, model);
    if (error instanceof EdgeplaneError && ofOwner === undefined) return null;
    throw error;
  }
}

function pathOf(text: string): { owner: string; name: string } {
  const [owner = "", name = ""] = text.split("/");
  return { owner, name };
}

function callWith(
  given: Given,
  { model, version, configuration }: Named,
  who: { principal: Principal; predictionId: string },
  manifest: Manifest | undefined,
): AcceptedCall {
  const { ip, lane, priority, cost, input } = given;
  return {
    ...{ requestId: "simulated", ...who, clientIp: ip, priority, cost, input },
    model: { ...model, version: manifest?.version ?? version ?? NO_VERSION },
    lane: lane ?? manifest?.lane ?? "default",
    startTimeoutMs: configuration?.startTimeoutMs ?? manifest?.startTimeoutMs ?? NO_MODEL_TIMEOUT_MS,
    totalTimeoutMs: configuration?.totalTimeoutMs ?? manifest?.totalTimeoutMs ?? NO_MODEL_TIMEOUT_MS,
    ...(configuration?.predictTimeoutMs === undefined ? {} : { runLimitMs: configuration.predictTimeoutMs }),
    deterministic: manifest?.deterministic ?? false,
  };
}

function shownChoice({ version, rule, canary, split }: Choice): SimulatedChoice {
  const by = canary?.arm === "canary" ? "canary" : rule === null ? "request" : "rule";
  const shares =
    split === null || canary === null
      ? null
      : { version: split.version, percent: split.percent, sticky_by: split.stickyBy, arm: canary.arm };
  return { version: version.manifest.version, by, rule, canary: shares };
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
