/**
 * The phases of the gateway and what a hook of each is given and answers:
 *
 *   authenticate → admit → screenInput → route → (lane, GPU) → screenOutput → onResult
 *
 * `authenticate` sees every call with a credential; `admit`, `screenInput` and `route` see a prediction that is about
 * to be accepted; `screenOutput` sees each piece of output before it is stored; `onResult` is told how a prediction
 * ended.
 */
import type { ErrorCode } from "../../src/contract/errors.ts";
import type { Json, ModelRef, Priority } from "../../src/contract/prediction.ts";
import type { Pricing } from "../../src/contract/price.ts";
import type { ReservationServiceName } from "./reservations.ts";

export const phases = ["authenticate", "admit", "screenInput", "route", "screenOutput", "onResult"] as const;
export type Phase = (typeof phases)[number];

/** What an API key may do. */
export const scopes = [
  "predictions:read",
  "predictions:write",
  "models:read",
  "models:write",
  "account:read",
  "account:write",
  "verdicts:read",
] as const;
export type Scope = (typeof scopes)[number];

/**
 * Who calls, once a plugin of `authenticate` has said so. `accountName` is the owner's name of the account's models;
 * `retentionMs` how long its data is kept after its end; `weight` its share of a lane beside other accounts', 0.01 to
 * 1000; `maxPriority` the highest priority that its predictions may ask for; `models` what it may run, as `owner/name`
 * or `owner/*`: all of the account's, where it says nothing.
 */
export type Principal = {
  accountId: string;
  accountName: string;
  retentionMs: number;
  weight: number;
  credentialId: string;
  scopes: readonly Scope[];
  maxPriority: Priority;
  models?: readonly string[];
};

/** A call, as `authenticate` sees it. */
export type Call = {
  requestId: string;
  method: string;
  path: string;
  /** The caller's address, IPv4 or IPv6; null where the platform tells none. */
  clientIp: string | null;
  header(name: string): string | undefined;
  /** All of them, by name in lower case. */
  headers(): { [name: string]: string };
  principal: Principal | null;
};

/** A prediction that is about to be accepted. Durations count from acceptance. */
export type PredictionCall = {
  requestId: string;
  /** The id that it will have. The same request, sent again with its client's key, has the same. */
  predictionId: string;
  /** Whose it is; `credentialId` is the API key's. */
  principal: Principal;
  clientIp: string | null;
  /** With its version: a hook of `route` may hand on another one of the same model. */
  model: ModelRef;
  lane: string;
  priority: Priority;
  cost: number;
  /** All of it, checked against the model's schema. Files are URLs or data URIs in it. */
  input: { [key: string]: Json };
  /** Of `input` as JSON in UTF-8. */
  inputBytes: number;
  startTimeoutMs: number;
  totalTimeoutMs: number;
  /** How long one run may take, where its deployment says so. */
  runLimitMs?: number;
  /** What it is billed by, in nano-units of a currency; absent: it costs nothing. */
  pricing?: Pricing;
  /** Its model says that the same input always has the same output. */
  deterministic: boolean;
};

/**
 * A piece of what a model says, on its way from a pool to the shard. Nobody reads it before it was screened.
 *
 * `of` says what it is a piece of: the output, the logs, or the message of an error. A `chunk` is the next one of a
 * stream, which ends with an `end`; `whole` is all of it at once. An output that was streamed comes as chunks, an `end`
 * and once more as a `whole`.
 */
export type OutputPart = {
  predictionId: string;
  accountId: string;
  /** With its version. */
  model: ModelRef;
  of: "output" | "logs" | "error";
  part: "chunk" | "end" | "whole";
  /**
   * Of logs and errors a string. Of an `end`, null, or what a plugin before this one had held back: what is handed on
   * goes out as the last chunk.
   */
  output: Json;
  /**
   * What this plugin returned as `held` with the chunk before; null at the first, at a `whole`, and when the model
   * starts anew.
   */
  held: string | null;
};

/** How an attempt ended, as its pool reported it. */
export type Ending = {
  predictionId: string;
  accountId: string;
  /** With its version. */
  model: ModelRef;
  outcome: "succeeded" | "failed";
  errorCode: string | null;
  metrics: { [key: string]: Json };
};

/** What the hooks of each phase are given. */
export type PhaseSubject = {
  authenticate: Call;
  admit: PredictionCall;
  screenInput: PredictionCall;
  route: PredictionCall;
  screenOutput: OutputPart;
  onResult: Ending;
};

/** Why a subject is, or would have been, refused. `code` is one of the error table's and decides the HTTP status. */
export type Refusal = { code: ErrorCode; message: string; retryAfterMs?: number; headers?: Record<string, string> };

/**
 * What a plugin found in a subject, for the prediction's record: its category and the rule that matched, both short,
 * never the text itself.
 */
export type Finding = { category: string; rule: string };

/**
 * What was set aside for a prediction by a hook of `admit` or `route`. It is kept with the prediction, and given back
 * to `service` when the prediction ends, however it does, also when it is refused after all (`reservations.ts`).
 */
export type Reservation = {
  service: ReservationServiceName;
  /** Unique among the service's reservations: by it the service knows one that is given back twice. */
  id: string;
  /** What the service needs to give it back: small. */
  data: Json;
  /** It matters until the prediction is accepted, and not from then on: it isn't kept with it. */
  untilAccepted?: boolean;
  /** It is settled by what the prediction costs, which may be known only after its end. */
  needsCost?: boolean;
};

/**
 * What a prediction is answered with that runs nowhere. `yielded`: the output is a list of the chunks that the model
 * yielded one by one. `key`: under which the service `responses` remembers it, if it does.
 */
export type Answer = { output: Json; yielded: boolean; key?: string };

/** What a hook that only judges decides. `shadow` lets the subject through and records that it would be refused. */
export type Judgement = {
  findings?: readonly Finding[];
} & (
  | { verdict: "continue"; reservation?: Reservation; headers?: Record<string, string> }
  | ({ verdict: "reject" } & Refusal)
  | ({ verdict: "shadow" } & Refusal)
);

/**
 * What a hook decides. `continue` may hand on a changed subject to the hooks behind it; the one that it was given stays
 * as it is. `reservation` is of `admit` and `route`, `held` of `screenOutput`; `headers` are laid over those of the
 * answer that the client gets.
 */
export type Verdict<Subject> =
  | Judgement
  | (Judgement & { verdict: "continue"; subject?: Subject; held?: string | null });

/**
 * Ends the prediction as it is accepted. It is of `route`, and of plugins that declare `answers`, which stand behind
 * all others of the phase.
 */
export type AnswerVerdict = { verdict: "answer"; answer: Answer; findings?: readonly Finding[] };

/** What a hook of a phase may decide. */
export type HookVerdict<P extends Phase> = Verdict<PhaseSubject[P]> | (P extends "route" ? AnswerVerdict : never);

/** A hook that may change its subject; it runs in its turn. Throwing means that it could not decide. */
export type Hook<P extends Phase> = (subject: Readonly<PhaseSubject[P]>) => HookVerdict<P> | Promise<HookVerdict<P>>;

/** A hook that only judges: it runs beside those next to it that only judge, too. */
export type Judge<P extends Phase> = {
  readonly judge: (subject: Readonly<PhaseSubject[P]>) => Judgement | Promise<Judgement>;
};

/** Marks a hook as one that only judges. */
export function judge<P extends Phase>(hook: Judge<P>["judge"]): Judge<P> {
  return { judge: hook };
}

/** Lets the subject through unchanged. */
export const proceed = { verdict: "continue" } as const;
