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
] as const;
export type Scope = (typeof scopes)[number];

/**
 * Who calls, once a plugin of `authenticate` has said so. `accountName` is the owner's name of the account's models;
 * `retentionMs` how long its data is kept after its end; `weight` its share of a lane beside other accounts', 0.01 to
 * 1000; `maxPriority` the highest priority that its predictions may ask for.
 */
export type Principal = {
  accountId: string;
  accountName: string;
  retentionMs: number;
  weight: number;
  credentialId: string;
  scopes: readonly Scope[];
  maxPriority: Priority;
};

/** A call, as `authenticate` sees it. */
export type Call = {
  requestId: string;
  method: string;
  path: string;
  header(name: string): string | undefined;
  principal: Principal | null;
};

/** A prediction that is about to be accepted. Durations count from acceptance. */
export type PredictionCall = {
  requestId: string;
  principal: Principal;
  model: ModelRef;
  lane: string;
  priority: Priority;
  cost: number;
  input: { [key: string]: Json };
  startTimeoutMs: number;
  totalTimeoutMs: number;
};

/** A piece of output on its way from a pool to the shard: one chunk, or the whole. */
export type OutputPart = { predictionId: string; part: "chunk" | "whole"; output: Json };

/** How an attempt ended, as its pool reported it. */
export type Ending = {
  predictionId: string;
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
export type Refusal = { code: ErrorCode; message: string; retryAfterMs?: number };

/**
 * What a hook decides. `continue` may hand on a changed subject to the hooks behind it; `shadow` lets the subject
 * through and records that it would have been refused.
 */
export type Verdict<Subject> =
  | { verdict: "continue"; subject?: Subject }
  | ({ verdict: "reject" } & Refusal)
  | ({ verdict: "shadow" } & Refusal);

/** A hook; it may answer at once or later. Throwing means that it could not decide. */
export type Hook<P extends Phase> = (
  subject: Readonly<PhaseSubject[P]>,
) => Verdict<PhaseSubject[P]> | Promise<Verdict<PhaseSubject[P]>>;

/** Lets the subject through unchanged. */
export const proceed = { verdict: "continue" } as const;
