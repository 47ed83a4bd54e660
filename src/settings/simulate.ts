/**
 * What settings would do with a request, before they are published: every phase runs, with what each plugin decided and
 * how long that took. What plugins reserve goes back at once.
 */
import type { Call, Finding, OutputPart, Phase, PredictionCall, Principal } from "../../plugins/kernel/phases.ts";
import type { HeldReservation } from "../../plugins/kernel/reservations.ts";
import type { Hooks, Snapshot } from "../../plugins/kernel/snapshot.ts";
import type { Arm } from "../contract/canary.ts";
import { EdgeplaneError } from "../contract/errors.ts";
import type { Json } from "../contract/prediction.ts";
import { costView } from "../contract/price.ts";
import type { CostView } from "../contract/price.ts";
import type { Env } from "../env.ts";
import { newTrail, runPhase } from "../pipeline/run-phase.ts";
import type { Trail } from "../pipeline/run-phase.ts";
import type { PushedHooks } from "../sandbox/pushed/hooks.ts";
import { reservationService } from "../shard/reservation-services.ts";

/** `principal` null: the phase `authenticate` finds out by `headers`. */
export type SimulatedRequest = {
  principal: Principal | null;
  headers: Record<string, string>;
  /** Throws `EdgeplaneError`: what the gateway itself refuses the caller with. */
  target(principal: Principal): Promise<SimulatedTarget>;
  /** What the model would answer; undefined: nothing. */
  output?: Json;
  logs?: string;
};

/** A request once its version is known. */
export type SimulatedTarget = {
  call: Omit<PredictionCall, "inputBytes">;
  chosen: SimulatedChoice | null;
  /** What becomes of an input that a plugin changed; src/pipeline/run-phase.ts tells more. */
  onChangedCall: NonNullable<Trail["onChangedCall"]>;
  /** What follows where a plugin chose another version. Throws `EdgeplaneError` for one that can't be run. */
  settle(call: PredictionCall): Promise<SettledTarget>;
};

/** `own`: the plugins that came with the version; null for none. */
export type SettledTarget = {
  call: PredictionCall;
  chosen: SimulatedChoice | null;
  own: PushedHooks | null;
  onChangedCall: SimulatedTarget["onChangedCall"];
};

/** Which version it gets, and by what. `rule`: which of the model's rules, from 0. */
export type SimulatedChoice = {
  version: string;
  by: "request" | "rule" | "canary" | "plugin";
  rule: number | null;
  canary: { version: string; percent: number; sticky_by: string; arm: Arm } | null;
};

/** `ms`: as far as the clock goes on: deployed, it stands still while a plugin only computes. */
export type SimulatedDecision = {
  plugin: string;
  verdict: "continue" | "reject" | "shadow" | "broken" | "answer";
  changed: boolean;
  code: string | null;
  message: string | null;
  findings: readonly Finding[];
  ms: number;
};
export type SimulatedPhase = { phase: Phase; decisions: SimulatedDecision[] };
export type Simulated = {
  phases: SimulatedPhase[];
  /** What the request would be refused with, or null. `phase` null: the gateway itself refuses it. */
  refused: { phase: Phase | null; code: string; message: string } | null;
  /** Null of a model that isn't here. */
  chosen: SimulatedChoice | null;
  /** As they would be handed on; null where it doesn't come to that. */
  input: Json;
  output: Json;
  logs: string | null;
  /** What it should cost; null where its model has no price. */
  cost: CostView | null;
};

/** `at`: the phase that it is in, or was in last. */
type Run = {
  env: Env;
  at: Phase | null;
  onChangedCall: SimulatedTarget["onChangedCall"];
  result: Simulated;
  reservations: HeldReservation[];
};

export async function simulate(env: Env, snapshot: Snapshot, request: SimulatedRequest): Promise<Simulated> {
  const nothing = { input: null, output: null, logs: null, cost: null };
  const result: Simulated = { phases: [], refused: null, chosen: null, ...nothing };
  const run: Run = { env, at: null, onChangedCall: (changed) => changed, result, reservations: [] };
  try {
    await runAll(run, snapshot, request);
  } catch (error) {
    if (!(error instanceof EdgeplaneError)) throw error;
    result.refused = { phase: run.at, code: error.code, message: error.message };
  }
  return result;
}

async function runAll(run: Run, snapshot: Snapshot, request: SimulatedRequest): Promise<void> {
  const principal = request.principal ?? (await authenticated(run, snapshot, request.headers));
  run.at = null;
  const target = await request.target(principal);
  const { predictionId, model, pricing } = target.call;
  run.result.chosen = target.chosen;
  run.result.cost = pricing === undefined ? null : costView(pricing, undefined);
  run.onChangedCall = target.onChangedCall;
  const hooks = await snapshot.of(principal.accountId, `${model.owner}/${model.name}`);
  const inputBytes = new TextEncoder().encode(JSON.stringify(target.call.input)).byteLength;
  let call: PredictionCall = { ...target.call, inputBytes };
  let own: PushedHooks | null;
  try {
    for (const phase of ["admit", "screenInput", "route"] as const) call = await step(run, hooks, phase, call);
    const settled = await target.settle(call);
    ({ own, chosen: run.result.chosen } = settled);
    call = await screenedByOwn(run, hooks, settled);
  } finally {
    await giveBack(run, call);
  }
  run.result.input = call.input;
  const screening = [...(own?.screenOutput ?? []), ...hooks.hooks.screenOutput];
  const { accountId } = principal;
  const piece = { predictionId, accountId, model: call.model, part: "whole", held: null } as const;
  const say = async (of: OutputPart["of"], output: Json) =>
    (await step(run, { hooks: { ...hooks.hooks, screenOutput: screening } }, "screenOutput", { ...piece, of, output }))
      .output;
  if (request.logs !== undefined) run.result.logs = String(await say("logs", request.logs));
  if (request.output === undefined) return;
  run.result.output = await say("output", request.output);
  const ending = {
    predictionId,
    accountId,
    model: call.model,
    outcome: "succeeded",
    errorCode: null,
    metrics: {},
  } as const;
  await step(run, hooks, "onResult", ending);
}

/** The plugins that came with the version screen after the operator's, which screen anew what was changed. */
async function screenedByOwn(run: Run, { hooks }: Hooks, { call, own, onChangedCall }: SettledTarget) {
  if (own === null) return call;
  run.onChangedCall = onChangedCall;
  const screened = await step(run, { hooks: { ...hooks, screenInput: own.screenInput } }, "screenInput", call);
  return screened.input === call.input ? screened : step(run, { hooks }, "screenInput", screened);
}

async function authenticated(run: Run, snapshot: Snapshot, given: Record<string, string>): Promise<Principal> {
  const headers = Object.fromEntries(Object.entries(given).map(([name, value]) => [name.toLowerCase(), value]));
  const call: Call = {
    ...{ requestId: "simulated", method: "POST", path: "/v1/predictions", clientIp: null, principal: null },
    header: (name) => headers[name.toLowerCase()],
    headers: () => headers,
  };
  const { principal } = await step(run, snapshot, "authenticate", call);
  if (principal !== null) return principal;
  throw new EdgeplaneError("unauthenticated", "No plugin knows the credential.");
}

async function step<P extends Phase>(
  run: Run,
  hooks: Hooks,
  phase: P,
  subject: Parameters<typeof runPhase<P>>[2],
): ReturnType<typeof runPhase<P>> {
  const { result, reservations, onChangedCall } = run;
  run.at = phase;
  const decisions: SimulatedDecision[] = [];
  result.phases.push({ phase, decisions });
  const trail: Trail = {
    ...newTrail(),
    reservations,
    onLate: (one) => void reservations.push(one),
    onChangedCall,
    onDecided: ({ plugin, decided, ms }) => void decisions.push(shown(plugin, decided, ms)),
  };
  // Nobody is told of what never happened.
  return runPhase({ hooks: hooks.hooks }, phase, subject, trail);
}

function shown(plugin: string, decided: Parameters<NonNullable<Trail["onDecided"]>>[0]["decided"], ms: number) {
  const refusal = decided.verdict === "reject" || decided.verdict === "shadow" ? decided : null;
  return {
    plugin,
    verdict: decided.verdict,
    changed: "subject" in decided && decided.subject !== undefined,
    code: refusal?.code ?? null,
    message: refusal?.message ?? null,
    findings: decided.verdict === "broken" ? [] : (decided.findings ?? []),
    ms: Math.round(ms * 1000) / 1000,
  };
}

async function giveBack({ env, reservations }: Run, { predictionId, principal, model, cost }: PredictionCall) {
  const how = {
    how: "release",
    predictionId,
    accountId: principal.accountId,
    model,
    status: null,
    attempt: 0,
    cost,
    costNano: 0,
  } as const;
  for (const one of reservations.splice(0)) {
    await reservationService(env, one.service)?.end([{ ...one, ...how, metrics: {} }]);
  }
}
