/** What observers of verdicts are told: who was judged by whom, when and how; never the text. */
import type { ModelRef } from "../../src/contract/prediction.ts";
import type { VerdictAction } from "../../src/contract/verdict.ts";
import type { Call, Ending, Finding, OutputPart, Phase, PredictionCall } from "./phases.ts";

/**
 * One verdict that found, changed or refused something, or could not be made. `at` is in milliseconds since the epoch;
 * `settings` the number of the settings that held. What isn't known in its phase is null: who calls before
 * `authenticate` has said so, the key and the request behind a model's output.
 */
export type VerdictEvent = {
  /** Unique: by it a reader knows one that comes twice. */
  id: string;
  at: number;
  settings: number | null;
  requestId: string | null;
  predictionId: string | null;
  accountId: string | null;
  /** The id of the API key; for a JSON Web Token `jwt:`, its issuer and its subject. */
  credentialId: string | null;
  model: ModelRef | null;
  plugin: string;
  phase: Phase;
  action: VerdictAction;
  /** Of a refusal, or of what would have been one. */
  code: string | null;
  findings: readonly Finding[];
};

/** It is told of all verdicts of all phases, and delays none: it notes what it wants to, and returns. */
export type VerdictObserver = (event: VerdictEvent) => void;

export type Judged = Pick<VerdictEvent, "requestId" | "predictionId" | "accountId" | "credentialId" | "model">;

/** Whose call, prediction or output the subject of a phase is. */
export function judged(subject: Call | PredictionCall | OutputPart | Ending): Judged {
  if (!("principal" in subject)) {
    const { predictionId, accountId, model } = subject;
    return { requestId: null, predictionId, accountId, credentialId: null, model };
  }
  const { requestId, principal } = subject;
  const known = "predictionId" in subject ? { predictionId: subject.predictionId, model: subject.model } : null;
  return {
    requestId,
    predictionId: known?.predictionId ?? null,
    accountId: principal?.accountId ?? null,
    credentialId: principal?.credentialId ?? null,
    model: known?.model ?? null,
  };
}
