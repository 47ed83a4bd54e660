/** An ordinary subject of each phase, for a plugin's cases. */
import type { Phase } from "../../../plugins/kernel/phases.ts";
import type { Json } from "../../../src/contract/prediction.ts";

const model = { owner: "acme", name: "hello", version: "0".repeat(64) };
const principal = {
  accountId: "acct_1",
  accountName: "acme",
  retentionMs: 86_400_000,
  weight: 1,
  credentialId: "key_1",
  scopes: ["predictions:read", "predictions:write"],
  maxPriority: "normal",
};
const call = {
  requestId: "req_1",
  predictionId: "00example",
  principal,
  clientIp: "203.0.113.7",
  model,
  lane: "default",
  priority: "normal",
  cost: 1,
  input: { prompt: "hello" },
  inputBytes: 18,
  deterministic: false,
  startTimeoutMs: 3_600_000,
  totalTimeoutMs: 7_200_000,
};
const of = { predictionId: call.predictionId, accountId: principal.accountId, model };

export const ordinarySubjects: { readonly [P in Phase]: { readonly [key: string]: Json } } = {
  authenticate: {
    requestId: call.requestId,
    method: "POST",
    path: "/v1/predictions",
    clientIp: call.clientIp,
    headers: { authorization: "Bearer example" },
    principal: null,
  },
  admit: call,
  screenInput: call,
  route: call,
  screenOutput: { ...of, of: "output", part: "whole", output: "hello", held: null },
  onResult: { ...of, outcome: "succeeded", errorCode: null, metrics: { predict_time: 1 } },
};
