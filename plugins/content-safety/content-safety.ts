/**
 * Looks for words and for personal data in every text of the input, the output and the logs, however they are hidden
 * and however they come in chunks; blocks, masks, tags or shadows them by category.
 */
import { definePlugin } from "../kernel/define-plugin.ts";
import { proceed } from "../kernel/phases.ts";
import type { Finding, OutputPart, PredictionCall, Verdict } from "../kernel/phases.ts";
import type { Action, Rule, RuleSet } from "./rules.ts";
import { screenJson } from "./screen-json.ts";
import type { Screened } from "./screen-json.ts";
import { ConfigSchema, rulesOf } from "./settings.ts";
import { push, readState, writeState } from "./stream.ts";
import type { StreamState } from "./stream.ts";

export const contentSafety = definePlugin({
  name: "content-safety",
  apiVersion: 1,
  config: ConfigSchema,
  phases: ["screenInput", "screenOutput"],
  example: {
    lists: [{ name: "house-rules", category: "insult", action: "block", terms: ["darn", "blockhead", "笨蛋"] }],
    patterns: { card: "block", resident_id: "block", api_key: "block", email: "mask", phone: "tag" },
  },
  needs: ["artifacts"],
  setup: async ({ config, services }) => {
    const rules = await rulesOf(config, services.artifacts);
    const hasRules = rules.words !== null || Object.keys(rules.patterns).length > 0;
    const { input, output, logs } = config.screen;
    return {
      screenInput: (call) => (hasRules && input ? screenCall(rules, call) : proceed),
      screenOutput: (part) => (hasRules && (part.of === "output" ? output : logs) ? screenPart(rules, part) : proceed),
    };
  },
});

function screenCall(rules: RuleSet, call: Readonly<PredictionCall>): Verdict<PredictionCall> {
  const screened = screenJson(rules, call.input, true);
  if (screened.tooDeep) return tooDeep("The input");
  const refusal = refusalOf(screened.found, "The input");
  if (refusal !== null) return refusal;
  const findings = findingsOf(screened.found, actionOf(screened.found));
  if (screened.value === call.input) return findings.length === 0 ? proceed : { verdict: "continue", findings };
  return { verdict: "continue", findings, subject: { ...call, input: screened.value as PredictionCall["input"] } };
}

function screenPart(rules: RuleSet, part: Readonly<OutputPart>): Verdict<OutputPart> {
  const what = whatOf[part.of];
  if (part.part === "whole" || (part.part === "chunk" && typeof part.output !== "string")) {
    return verdictOf(part, screenJson(rules, part.output, false), what, undefined);
  }
  const state = stateOf(part);
  if (state === null)
    return { verdict: "reject", code: "guard_unavailable", message: `${what} could not be screened.` };
  const isLast = part.part === "end";
  if (part.output !== null && typeof part.output !== "string") {
    // What comes with an end is what a plugin before this one held back: of a stream of text it is text.
    return { verdict: "reject", code: "guard_unavailable", message: `${what} could not be screened.` };
  }
  const pushed = push(rules, part.output ?? "", state, isLast);
  const output = isLast && pushed.emit === "" ? null : pushed.emit;
  return verdictOf(part, { value: output, found: pushed.found, tooDeep: false }, what, writeState(pushed.state));
}

const whatOf: Readonly<Record<OutputPart["of"], string>> = {
  output: "The output",
  logs: "The log",
  error: "The message of the error",
};

/** Null when what was held is lost: it must not be passed over. */
function stateOf({ held }: Readonly<OutputPart>): StreamState | null {
  try {
    return readState(held);
  } catch {
    return null;
  }
}

function verdictOf(
  part: Readonly<OutputPart>,
  { value, found, tooDeep: isTooDeep }: Screened,
  what: string,
  held: string | null | undefined,
): Verdict<OutputPart> {
  if (isTooDeep) return tooDeep(what);
  const findings = findingsOf(found, actionOf(found));
  const noted = findings.length === 0 ? {} : { findings };
  const kept = held === undefined ? {} : { held };
  // A stream in which something would be refused goes on: what is held goes with the verdict to continue.
  const refusal = refusalOf(found, what);
  if (refusal !== null && (refusal.verdict === "reject" || held === undefined)) return refusal;
  const isSame = value === part.output;
  return { verdict: "continue", ...noted, ...kept, ...(isSame ? {} : { subject: { ...part, output: value } }) };
}

type Refused = Extract<Verdict<never>, { verdict: "reject" | "shadow" }>;

/** A refusal for what is to be blocked; a shadow of one where nothing else is to be done. */
function refusalOf(found: readonly Rule[], what: string): Refused | null {
  const has = (action: Action): boolean => found.some((one) => one.action === action);
  const action = has("block") ? "block" : has("shadow") && !has("mask") ? "shadow" : null;
  if (action === null) return null;
  const categories = [...new Set(found.filter((one) => one.action === action).map(({ category }) => category))];
  return {
    verdict: action === "block" ? "reject" : "shadow",
    code: "rejected_by_policy",
    message: `${what} has text of a kind that this gateway does not let through: ${categories.slice(0, 5).join(", ")}.`,
    findings: findingsOf(found, action),
  };
}

/** What a verdict to continue says by itself: that something was covered, or only seen. */
function actionOf(found: readonly Rule[]): Action {
  return found.some(({ action }) => action === "mask") ? "mask" : "tag";
}

/** Each once. A rule whose action is not the verdict's own says so. */
function findingsOf(found: readonly Rule[], action: Action): Finding[] {
  const findings = new Map<string, Finding>();
  for (const one of found) {
    const rule = one.action === action ? one.rule : `${one.rule} (${one.action})`;
    findings.set(`${one.category} ${rule}`, { category: one.category, rule });
  }
  return [...findings.values()];
}

function tooDeep(what: string): Verdict<never> {
  const message = `${what} is nested more than 1,000 levels deep, and can't be screened.`;
  return { verdict: "reject", code: "rejected_by_policy", message };
}
