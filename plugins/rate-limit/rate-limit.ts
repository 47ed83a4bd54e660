/**
 * Limits what callers use: requests, cost, bytes of input and predictions at a time, per key, account, model, address,
 * or in all. All limits of a request are decided together: one that refuses leaves none of the others charged. What was
 * reserved is settled when the prediction has ended (README.md).
 */
import { definePlugin } from "../kernel/define-plugin.ts";
import { judge, proceed } from "../kernel/phases.ts";
import type { AllowanceAnswer, Charge } from "../kernel/allowance.ts";
import type { Judgement, PredictionCall } from "../kernel/phases.ts";
import type { ErrorCode } from "../../src/contract/errors.ts";
import { addressOf } from "./address.ts";
import { ConfigSchema } from "./config.ts";
import type { Limit, LimitSubject } from "./config.ts";
import { limitHeaders } from "./headers.ts";

const codes: Readonly<Record<LimitSubject, ErrorCode>> = {
  key: "key_limit_reached",
  account: "account_limit_reached",
  model: "model_limit_reached",
  ip: "address_limit_reached",
  everyone: "gateway_limit_reached",
};
const whose: Readonly<Record<LimitSubject, string>> = {
  key: "the API key",
  account: "the account",
  model: "the model",
  ip: "the address",
  everyone: "the gateway",
};
/** A cost that is counted over so long is given back when nobody says how its prediction ended. */
const HELD_WINDOW_MS = 600_000;

export const rateLimit = definePlugin({
  name: "rate-limit",
  apiVersion: 1,
  config: ConfigSchema,
  phases: ["admit"],
  needs: ["allowance"],
  example: { limits: [{ name: "per-key", per: "key", limit: 600, windowMs: 60_000 }] },
  setup: ({ config, services: { allowance } }) => {
    if (!allowance.stores.includes(config.store)) {
      throw new Error('`store: "redis"` needs a Redis: set KV_REST_URL and KV_REST_TOKEN');
    }

    function decide(limits: readonly Limit[], answer: AllowanceAnswer): Judgement {
      const headers = limitHeaders(limits.flatMap((limit, index) => stateAt(limit, answer, index)));
      if (answer.ok) return { verdict: "continue", reservation: answer.reservation, headers };
      const limit = limits[answer.by];
      return limit === undefined ? proceed : refuse(limit, answer.retryAfterMs, headers);
    }

    return {
      admit: judge((call) => {
        const limits = config.limits.filter((limit) => subjectsOf(limit).every((one) => partOf(one, call) !== null));
        if (limits.length === 0) return proceed;
        const charges = limits.map((limit) => chargeOf(limit, call));
        const answer = allowance.reserve(config.store, Date.now() + call.totalTimeoutMs, charges);
        return answer instanceof Promise ? answer.then((one) => decide(limits, one)) : decide(limits, answer);
      }),
    };
  },
});

function stateAt(limit: Limit, { states }: AllowanceAnswer, index: number) {
  const state = states[index];
  return state === undefined ? [] : [{ limit, state }];
}

function refuse(limit: Limit, retryAfterMs: number | null, headers: Record<string, string>): Judgement {
  const [subject = "everyone"] = subjectsOf(limit);
  const of = `The limit "${limit.name}" of ${whose[subject]}, ${amountText(limit)},`;
  if (retryAfterMs === null) {
    return { verdict: "reject", code: "above_limit", message: `${of} never lets this request through.`, headers };
  }
  return { verdict: "reject", code: codes[subject], message: `${of} is reached.`, retryAfterMs, headers };
}

function amountText(limit: Limit): string {
  const { of, limit: most } = limit;
  if (of === "concurrency") return `${most} predictions at a time`;
  const what = `${of === "cost" ? "a cost of " : ""}${most}${of === "cost" ? "" : ` ${of}`}`;
  return limit.algorithm === "token-bucket"
    ? `${what} at once and ${limit.refill} in ${limit.windowMs / 1000} s`
    : `${what} in ${limit.windowMs / 1000} s`;
}

function chargeOf(limit: Limit, call: PredictionCall): Charge {
  const parts = subjectsOf(limit).map((one) => partOf(one, call) ?? "");
  const way = limit.of === "concurrency" ? "c" : `${limit.algorithm.charAt(0)}${limit.windowMs}`;
  return {
    subject: objectOf(limit, call),
    bucket: [limit.name, limit.of.charAt(0), way, ...parts].join(" "),
    unit: limit.of,
    spec: limit.of === "concurrency" ? { algorithm: "concurrency", limit: limit.limit } : windowOf(limit),
    amount: amountOf(limit, call),
    held: limit.of === "cost" && limit.windowMs >= HELD_WINDOW_MS,
  };
}

function windowOf(limit: Exclude<Limit, { of: "concurrency" }>): Charge["spec"] {
  const { limit: most, windowMs } = limit;
  return limit.algorithm === "token-bucket"
    ? { algorithm: limit.algorithm, limit: most, windowMs, refill: limit.refill }
    : { algorithm: limit.algorithm, limit: most, windowMs };
}

function amountOf({ of }: Limit, call: PredictionCall): number {
  if (of === "cost") return call.cost;
  return of === "bytes" ? call.inputBytes : 1;
}

function subjectsOf({ per }: Limit): readonly LimitSubject[] {
  return typeof per === "string" ? [per] : per;
}

/** What is counted by itself; null where it isn't known: the limit then holds for nobody. */
function partOf(subject: LimitSubject, { principal, model, clientIp }: PredictionCall): string | null {
  switch (subject) {
    case "key":
      return principal.credentialId;
    case "account":
      return principal.accountId;
    case "model":
      return `${model.owner}/${model.name}`;
    case "ip":
      return clientIp === null ? null : addressOf(clientIp);
    default:
      return "";
  }
}

/** The object that counts it: an account's has those of its keys as well, so that they are decided in one call. */
function objectOf(limit: Limit, call: PredictionCall): string {
  const subjects = subjectsOf(limit);
  if (subjects.includes("key") || subjects.includes("account")) return `account:${call.principal.accountId}`;
  const [first = "everyone"] = subjects;
  return first === "everyone" ? "everyone" : `${first}:${partOf(first, call)}`;
}
