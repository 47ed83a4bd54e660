/**
 * What plugins say of a prediction before it is accepted: `admit`, `screenInput`, `route`. What they reserved goes back
 * when it is not accepted after all.
 */
import type { Answer, Phase, PredictionCall } from "../../../plugins/kernel/phases.ts";
import type { Snapshot } from "../../../plugins/kernel/snapshot.ts";
import type { HeldReservation, ReservationEnd } from "../../../plugins/kernel/reservations.ts";
import type { Hooks } from "../../../plugins/kernel/snapshot.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import { modelPath } from "../../contract/manifest.ts";
import { addVerdicts } from "../../contract/verdict.ts";
import type { VerdictRecord } from "../../contract/verdict.ts";
import { hasHooks, newTrail, runPhase } from "../../pipeline/run-phase.ts";
import type { Trail } from "../../pipeline/run-phase.ts";
import type { Version } from "../../registry/models.ts";
import { guardsOf } from "../../sandbox/pushed/guards.ts";
import { reservationService } from "../../shard/reservation-services.ts";
import { log, reasonOf } from "../../telemetry/log.ts";
import type { AppContext } from "../app.ts";
import { pushedPolicyOf, settingsOf } from "../request-settings.ts";
import { screenAnswer } from "./screen-answer.ts";
import { checkedChange, unfit } from "./changed-call.ts";
import { findTarget, validatorOf } from "./find-target.ts";
import { pricingOf } from "./priced-call.ts";
import { utf8Length } from "./submission.ts";
import type { AcceptedCall } from "./submission.ts";

export const acceptancePhases = ["admit", "screenInput", "route"] as const satisfies Phase[];

/** The call as it was handed on, and what the phases left behind. */
export type ScreenedCall = {
  call: AcceptedCall;
  /** The one that it began with, unless a plugin chose another one. */
  version: Version;
  reservations: readonly HeldReservation[];
  verdicts: readonly VerdictRecord[];
  /** What a plugin answers it with; null: it is to run. */
  answer: Answer | null;
};

/**
 * `callOf`: the client's call of a version, that of `version` to begin with. Throws what a plugin refuses with; what
 * was reserved until then goes back.
 */
export async function screenCall(
  c: AppContext,
  version: Version,
  callOf: (version: Version) => AcceptedCall,
): Promise<ScreenedCall> {
  const snapshot = await settingsOf(c);
  const call = await withPrice(c, snapshot, callOf(version));
  const validate = validatorOf(version);
  const hooks = await snapshot.of(call.principal.accountId, modelPath(call.model));
  const wanted = acceptancePhases.filter((phase) => hasHooks(hooks, phase));
  if (wanted.length === 0 && !isGuarded(version))
    return { call, version, reservations: [], verdicts: [], answer: null };
  let answer: Answer | null = null;
  const trail: Trail = {
    ...newTrail(),
    async onAnswer(given) {
      // What its own plugins would say, nobody has asked.
      if (isGuarded(version)) return false;
      const screened = await screenAnswer(hooks, call, given);
      if (screened === null) return false;
      answer = screened.answer;
      addVerdicts(trail.verdicts, screened.verdicts);
      return true;
    },
    onLate: (one) => giveBack(c, call, [one]),
    // The platform drops what a request waits for with its end: a reservation that comes then would be nobody's.
    outlive: (hook) => c.executionCtx.waitUntil(hook.catch(() => {})),
    onChangedCall: (changed, before, phase) => checkedChange(validate, changed, before, phase),
  };
  let current: PredictionCall = { ...call, inputBytes: utf8Length(JSON.stringify(call.input)) };
  let moved: Moved;
  try {
    for (const phase of wanted) current = await runPhase(hooks, phase, current, trail);
    const { inputBytes: _known, ...accepted } = current;
    moved = await withVersion(c.env.DB, accepted, { call, version }, callOf);
    if (isGuarded(moved.version)) {
      answer = null;
      moved = await screenByOwn(c, hooks, moved, trail);
    }
  } catch (error) {
    giveBack(c, call, trail.reservations);
    throw error;
  } finally {
    for (const [name, value] of Object.entries(trail.headers)) c.header(name, value);
  }
  return { ...moved, reservations: trail.reservations, verdicts: trail.verdicts, answer };
}

async function withPrice(c: AppContext, snapshot: Snapshot, call: AcceptedCall): Promise<AcceptedCall> {
  const { principal, lane, priority, model } = call;
  const pricing = await pricingOf(c.env, snapshot, { accountId: principal.accountId, lane, priority, model });
  return pricing === null ? call : { ...call, pricing };
}

type Moved = Pick<ScreenedCall, "call" | "version">;

/** Whether plugins came with it. */
function isGuarded({ bundle }: Version): boolean {
  return bundle !== null && bundle.plugins !== null;
}

/**
 * The call as the plugins that came with its version hand it on. The operator's have the last word: they screen anew
 * what was changed.
 */
async function screenByOwn(c: AppContext, operators: Hooks, { call, version }: Moved, trail: Trail): Promise<Moved> {
  const own = await guardsOf(c.env, await pushedPolicyOf(c), call.model, version.bundle?.plugins ?? []);
  const validate = validatorOf(version);
  const onChangedCall: Trail["onChangedCall"] = (changed, before, phase) =>
    checkedChange(validate, changed, before, phase);
  const given: PredictionCall = { ...call, inputBytes: utf8Length(JSON.stringify(call.input)) };
  const hooks = { ...operators, hooks: { ...operators.hooks, screenInput: own.screenInput } };
  const screened = await runPhase(hooks, "screenInput", given, { ...trail, onChangedCall });
  const isChanged = screened.input !== given.input;
  const last = isChanged ? await runPhase(operators, "screenInput", screened, { ...trail, onChangedCall }) : screened;
  const { inputBytes: _known, ...accepted } = last;
  return { call: accepted, version };
}

/**
 * The call with what follows from its version, where a plugin chose another one: what neither the client nor a plugin
 * said is that version's. Throws `changed_input_invalid` where it can't be run, or doesn't take the input.
 */
export async function withVersion(
  db: D1Database,
  changed: AcceptedCall,
  before: Moved,
  callOf: (version: Version) => AcceptedCall,
): Promise<Moved> {
  const { model, principal } = changed;
  if (model.version === before.call.model.version) return { call: changed, version: before.version };
  const version = await findTarget(db, principal, { model, version: model.version }).catch(notRunnable);
  const invalidFields = validatorOf(version)(changed.input);
  if (invalidFields.length > 0) throw unfit(invalidFields);
  const own = callOf(version);
  const kept = <Key extends "lane" | "startTimeoutMs" | "totalTimeoutMs">(key: Key): AcceptedCall[Key] =>
    changed[key] === before.call[key] ? own[key] : changed[key];
  const [lane, startTimeoutMs, totalTimeoutMs] = [kept("lane"), kept("startTimeoutMs"), kept("totalTimeoutMs")];
  const call = { ...changed, lane, startTimeoutMs, totalTimeoutMs, deterministic: own.deterministic };
  return { call, version };
}

function notRunnable(error: unknown): never {
  if (!(error instanceof EdgeplaneError)) throw error;
  throw unfit([{ field: "version", description: `a plugin chose one that can't be run: ${error.message}` }], error);
}

/** Behind the answer: what fails here is given back by its service when its time is over. */
export function giveBack(c: AppContext, call: AcceptedCall, reservations: readonly HeldReservation[]): void {
  for (const [service, some] of Map.groupBy(reservations, (one) => one.service)) {
    const ends = some.map((one) => refused(call, one));
    const given = reservationService(c.env, service)?.end(ends);
    if (given === undefined) continue;
    const noted = given.catch((error: unknown) => {
      log.warn("reservations_not_given_back", { service, reservations: ends.length, reason: reasonOf(error) });
    });
    c.executionCtx.waitUntil(noted);
  }
}

function refused({ predictionId, principal, model, cost }: AcceptedCall, reservation: HeldReservation): ReservationEnd {
  return {
    ...reservation,
    how: "release",
    predictionId,
    accountId: principal.accountId,
    model,
    status: null,
    attempt: 0,
    cost,
    costNano: 0,
    metrics: {},
  };
}
