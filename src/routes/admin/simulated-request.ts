/** The request of a simulation: who asks, and which version it gets, as a client's own request has them. */
import * as z from "zod";
import { scopes } from "../../../plugins/kernel/phases.ts";
import type { Principal } from "../../../plugins/kernel/phases.ts";
import type { Snapshot } from "../../../plugins/kernel/snapshot.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import { derivedPredictionId, newPredictionId } from "../../contract/ids.ts";
import type { Manifest } from "../../contract/manifest.ts";
import { numericVar } from "../../contract/numeric-vars.ts";
import { JsonSchema, priorities, PrioritySchema } from "../../contract/prediction.ts";
import { keyFor } from "../../contract/signing.ts";
import type { Env } from "../../env.ts";
import { findAccount } from "../../registry/accounts.ts";
import type { Version } from "../../registry/models.ts";
import { findLatestVersion } from "../../registry/pointers.ts";
import type { SimulatedChoice, SimulatedRequest, SimulatedTarget } from "../../settings/simulate.ts";
import { checkedChange } from "../replicate/changed-call.ts";
import { checkRequest } from "../replicate/check-request.ts";
import { chooseVersion } from "../replicate/choose-version.ts";
import type { Choice, Choosing } from "../replicate/choose-version.ts";
import { validatorOf } from "../replicate/find-target.ts";
import type { InputValidator } from "../replicate/input-schema.ts";
import { pricingOf } from "../replicate/priced-call.ts";
import { withVersion } from "../replicate/screen-call.ts";
import { clientKey } from "../replicate/submission.ts";
import type { AcceptedCall } from "../replicate/submission.ts";

/** Of a model that isn't here. */
const NO_VERSION = "0".repeat(64);
const NO_MODEL_TIMEOUT_MS = 60_000;

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
  model: z
    .string()
    .regex(/^[^/\s]+\/[^/\s]+$/, "owner/name")
    .default("local/hello-world"),
  version: z.string().min(1).max(64).optional().meta({
    description: "A version's digits, or an alias; without it, the request names the model alone.",
  }),
  lane: z.string().optional().meta({ description: "In place of the version's own." }),
  priority: PrioritySchema.default("normal"),
  cost: z.number().positive().default(1),
  input: z.record(z.string(), JsonSchema).default({}),
  output: JsonSchema.optional().meta({ description: "What the model would answer; without it, it says nothing." }),
  logs: z.string().optional(),
});
type Given = z.output<typeof SimulatedRequestSchema>;

/** `snapshot`: of the settings that are simulated. */
export async function simulatedRequest(env: Env, snapshot: Snapshot, given: Given): Promise<SimulatedRequest> {
  const { account, headers, output, logs } = given;
  return {
    principal: account === undefined ? null : await principalOf(env, account),
    headers,
    target: async (principal) => targetOf(env, snapshot, given, principal),
    ...(output === undefined ? {} : { output }),
    ...(logs === undefined ? {} : { logs }),
  };
}

/** As a client's request finds its version. A model that isn't here takes anything. */
async function targetOf(env: Env, snapshot: Snapshot, given: Given, principal: Principal): Promise<SimulatedTarget> {
  const { input, priority } = given;
  const sent = new Map(Object.entries(given.headers).map(([name, value]) => [name.toLowerCase(), value]));
  const header = (name: string) => sent.get(name);
  const predictionId = await idOf(env, principal, header("idempotency-key"));
  const choice = await choiceOf(env, given, { principal, predictionId, deployment: null, header });
  const version = choice?.version ?? null;
  if (version !== null) checkRequest(principal, version, input, priority);
  const callOf = (of: Version | null): AcceptedCall => callWith(given, { principal, predictionId }, of?.manifest);
  const call = callOf(version);
  const pricing = await pricingOf(env, snapshot, { ...call, accountId: principal.accountId });
  const validate: InputValidator = version === null ? () => [] : validatorOf(version);
  const chosen = choice === null ? null : shownChoice(choice);
  return {
    call: pricing === null ? call : { ...call, pricing },
    chosen,
    onChangedCall: (changed, before, phase) => checkedChange(validate, changed, before, phase),
    async settle(changed) {
      if (version === null) return { call: changed, chosen };
      const { inputBytes, ...accepted } = changed;
      const moved = await withVersion(env.DB, accepted, { call, version }, callOf);
      if (moved.version === version) return { call: changed, chosen };
      const { version: id } = moved.version.manifest;
      return { call: { ...moved.call, inputBytes }, chosen: { version: id, by: "plugin", rule: null, canary: null } };
    },
  };
}

async function idOf(env: Env, { accountId }: Principal, idempotencyKey: string | undefined): Promise<string> {
  const shards = numericVar(env, "SHARD_COUNT");
  const key = clientKey(undefined, idempotencyKey);
  if (key === null) return newPredictionId(shards);
  return derivedPredictionId(await keyFor(env.EDGEPLANE_SECRET, "ids"), accountId, key, shards);
}

/** Null for a model that nobody has. */
async function choiceOf(env: Env, given: Given, asking: Choosing): Promise<Choice | null> {
  const model = nameOf(given);
  try {
    return await chooseVersion(env.DB, { model, version: given.version ?? null }, asking);
  } catch (error) {
    const ofOwner = await findLatestVersion(env.DB, { accountName: model.owner }, model);
    if (error instanceof EdgeplaneError && ofOwner === undefined) return null;
    throw error;
  }
}

function nameOf({ model }: Given): { owner: string; name: string } {
  const [owner = "", name = ""] = model.split("/");
  return { owner, name };
}

function callWith(
  given: Given,
  who: { principal: Principal; predictionId: string },
  manifest: Manifest | undefined,
): AcceptedCall {
  const { ip, lane, priority, cost, input, version = NO_VERSION } = given;
  return {
    ...{ requestId: "simulated", ...who, clientIp: ip, priority, cost, input },
    model: { ...nameOf(given), version: manifest?.version ?? version },
    lane: lane ?? manifest?.lane ?? "default",
    startTimeoutMs: manifest?.startTimeoutMs ?? NO_MODEL_TIMEOUT_MS,
    totalTimeoutMs: manifest?.totalTimeoutMs ?? NO_MODEL_TIMEOUT_MS,
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
