/**
 * `response-cache`: answers a prediction with the output that the same one had before. It asks in `route`, behind the
 * guards of the input and whatever else decides there, so that it is keyed by the input that would run. Only models
 * that say so are deterministic; what an account gets is its own.
 */
import * as z from "zod";
import { canonicalJson } from "../kernel/canonical-json.ts";
import { definePlugin } from "../kernel/define-plugin.ts";
import { proceed } from "../kernel/phases.ts";
import type { PredictionCall } from "../kernel/phases.ts";
import { sha256Hex } from "../kernel/secret.ts";
import type { Json } from "../../src/contract/prediction.ts";

const MAX_TTL_MS = 7 * 86_400_000;
const MAX_OUTPUT_BYTES = 128 * 1024;
const MAX_ACCOUNT_BYTES = 1024 * 1024 * 1024;
/** A larger input is dear to compare. */
const MAX_INPUT_BYTES = 1024 * 1024;
const URL_START = /^\s*https?:\/\//i;

export const responseCache = definePlugin({
  name: "response-cache",
  apiVersion: 1,
  phases: ["route"],
  needs: ["responses"],
  answers: true,
  // It saves a run: without it, all is run.
  failMode: "open",
  timeoutMs: 500,
  config: z.strictObject({
    ttlMs: z
      .number()
      .int()
      .min(1000)
      .max(MAX_TTL_MS)
      .default(3_600_000)
      .meta({ description: "How long an output is given again; never longer than the account's data is kept." }),
    maxBytes: z
      .number()
      .int()
      .min(1)
      .max(MAX_OUTPUT_BYTES)
      .default(64 * 1024)
      .meta({ description: "The most that one output may have as JSON." }),
    accountBytes: z
      .number()
      .int()
      .min(0)
      .max(MAX_ACCOUNT_BYTES)
      .default(16 * 1024 * 1024)
      .meta({ description: "The most that is kept for one account; what expires first makes room." }),
    generation: z
      .number()
      .int()
      .min(0)
      .max(1e9)
      .default(0)
      .meta({ description: "With another number, nothing that was kept before is given again." }),
  }),
  setup: ({ config: { generation, ttlMs, ...bounds }, services: { responses } }) => ({
    route: async (call) => {
      if (!isComparable(call)) return proceed;
      const { accountId, retentionMs } = call.principal;
      const { owner, name, version } = call.model;
      const key = await sha256Hex(canonicalJson([generation, owner, name, version, call.input]));
      const answer = await responses.find(accountId, key);
      if (answer !== null) {
        return { verdict: "answer", answer: { ...answer, key }, findings: [{ category: "cache", rule: "hit" }] };
      }
      const terms = { ...bounds, ttlMs: Math.min(ttlMs, retentionMs) };
      return { verdict: "continue", reservation: responses.remember(key, terms) };
    },
  }),
});

/** Whether the same input is the same question: what lies behind a link may change. */
function isComparable({ deterministic, inputBytes, input }: PredictionCall): boolean {
  return deterministic && inputBytes <= MAX_INPUT_BYTES && !namesLink(input);
}

function namesLink(value: Json): boolean {
  if (typeof value === "string") return URL_START.test(value);
  return typeof value === "object" && value !== null && Object.values(value).some(namesLink);
}
