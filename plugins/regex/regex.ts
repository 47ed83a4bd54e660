/**
 * `regex`: the operator's own patterns over all texts of inputs and outputs. Patterns run in linear time, so that
 * neither a pattern nor a text can hold anybody up. On a stream it holds back so much text as a match may have.
 */
import * as z from "zod";
import type { Json } from "../../src/contract/prediction.ts";
import { definePlugin } from "../kernel/define-plugin.ts";
import type { OutputPart, Verdict } from "../kernel/phases.ts";
import { proceed } from "../kernel/phases.ts";
import { mapTexts } from "../kernel/texts.ts";
import { applyRules, compileRules, findingsOf, matchesOf, RulesSchema } from "./rules.ts";
import type { Rule } from "./rules.ts";

const MAX_WINDOW = 10_000;
const DEFAULT_WINDOW = 200;

export const regex = definePlugin({
  name: "regex",
  apiVersion: 1,
  phases: ["screenInput", "screenOutput"],
  config: z.strictObject({
    rules: RulesSchema,
    windowCharacters: z.int().min(1).max(MAX_WINDOW).default(DEFAULT_WINDOW).meta({
      description: "Of a stream, how much text is held back: the longest match that is found there for certain.",
    }),
  }),
  example: { rules: [{ name: "ticket", pattern: "(?i)\\bTICKET-[0-9]{4,8}\\b", action: "replace" }] },
  setup({ config }) {
    const inputRules = compileRules(config.rules, "input");
    const outputRules = compileRules(config.rules, "output");
    return {
      screenInput(call) {
        const found = new Set<Rule>();
        const input = mapTexts(call.input, (text) => applyRules(inputRules, text, found));
        return verdictOf(found, input === call.input ? {} : { subject: { ...call, input } }, "input");
      },
      screenOutput(part) {
        if (part.part === "whole" || (typeof part.output !== "string" && part.output !== null)) {
          const found = new Set<Rule>();
          const output = mapTexts(part.output, (text) => applyRules(outputRules, text, found));
          return verdictOf(found, output === part.output ? {} : { subject: { ...part, output } }, "output");
        }
        return screenStream(outputRules, config.windowCharacters, part);
      },
    };
  },
});

/** A chunk of a stream's text, or its end: goes out up to where a match could still begin. */
function screenStream(rules: readonly Rule[], window: number, part: OutputPart): Verdict<OutputPart> {
  const found = new Set<Rule>();
  const text = (part.held ?? "") + textOf(part.output);
  const cut = part.part === "end" ? text.length : cutOf(rules, text, Math.max(0, text.length - window));
  for (const rule of rules) if (rule.action !== "replace" && !matchesOf(rule, text).next().done) found.add(rule);
  const output = applyRules(rules, text.slice(0, cut), found);
  return verdictOf(found, { subject: { ...part, output }, held: text.slice(cut) }, "output");
}

/** `cut`, or where a match begins that reaches over it. */
function cutOf(rules: readonly Rule[], text: string, cut: number): number {
  let safe = cut;
  for (const rule of rules) {
    for (const { start, end } of matchesOf(rule, text)) {
      if (start >= safe) break;
      if (end > safe) safe = start;
    }
  }
  // A character of two units is not torn apart.
  return isLow(text.charCodeAt(safe)) ? Math.max(0, safe - 1) : safe;
}

function isLow(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}

function textOf(output: Json): string {
  return typeof output === "string" ? output : "";
}

type Change<Subject> = { subject?: Subject; held?: string };

function verdictOf<Subject>(found: ReadonlySet<Rule>, change: Change<Subject>, what: string): Verdict<Subject> {
  const findings = findingsOf(found);
  if ([...found].some(({ action }) => action === "block")) {
    const message = `The ${what} holds something that may not be there.`;
    return { verdict: "reject", code: "rejected_by_policy", message, findings };
  }
  if (findings.length === 0 && Object.keys(change).length === 0) return proceed;
  return { verdict: "continue", ...change, ...(findings.length === 0 ? {} : { findings }) };
}
