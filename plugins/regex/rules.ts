/** The rules of `regex`, compiled to run in linear time (RE2's syntax: no look-around, no back references). */
import { RE2JS } from "re2js";
import * as z from "zod";
import type { Finding } from "../kernel/phases.ts";

const MAX_RULES = 200;
const MAX_PATTERN_LENGTH = 2000;

export const RuleSchema = z.strictObject({
  name: z.string().min(1).max(100).meta({ description: "What verdicts are recorded with." }),
  pattern: z
    .string()
    .min(1)
    .max(MAX_PATTERN_LENGTH)
    .superRefine((pattern, context) => {
      const problem = problemOf(pattern);
      if (problem !== null) context.addIssue({ code: "custom", message: problem });
    })
    .meta({ description: "RE2's syntax; `(?i)` at the front ignores case." }),
  on: z.enum(["input", "output", "both"]).default("both"),
  action: z
    .enum(["block", "replace", "tag"])
    .meta({ description: "Refuse, put `replacement` in its place, or only record it." }),
  replacement: z
    .string()
    .max(200)
    .default("[removed]")
    .meta({ description: "Taken as it is: `$1` stands for nothing." }),
});
export const RulesSchema = z.array(RuleSchema).min(1).max(MAX_RULES);

export type Rule = z.output<typeof RuleSchema> & { compiled: RE2JS };
export type Match = { rule: Rule; start: number; end: number };

export function compileRules(rules: z.output<typeof RulesSchema>, on: "input" | "output"): Rule[] {
  return rules
    .filter((rule) => rule.on === on || rule.on === "both")
    .map((rule) => ({ ...rule, compiled: RE2JS.compile(rule.pattern) }));
}

/** What `rule` finds in `text`, from the left and not overlapping; empty matches are none. */
export function* matchesOf(rule: Rule, text: string): Generator<Match> {
  const matcher = rule.compiled.matcher(text);
  while (matcher.find()) {
    if (matcher.end() > matcher.start()) yield { rule, start: matcher.start(), end: matcher.end() };
  }
}

/**
 * `text` with what the rules that replace find replaced, one rule after the other; `found` gets every rule that hit.
 */
export function applyRules(rules: readonly Rule[], text: string, found: Set<Rule>): string {
  let current = text;
  for (const rule of rules) {
    const matches = [...matchesOf(rule, current)];
    if (matches.length === 0) continue;
    found.add(rule);
    if (rule.action === "replace") current = replaced(current, matches);
  }
  return current;
}

function replaced(text: string, matches: readonly Match[]): string {
  let made = "";
  let at = 0;
  for (const { rule, start, end } of matches) {
    made += text.slice(at, start) + rule.replacement;
    at = end;
  }
  return made + text.slice(at);
}

export function findingsOf(found: ReadonlySet<Rule>): Finding[] {
  return [...found].map(({ name }) => ({ category: "regex", rule: name }));
}

function problemOf(pattern: string): string | null {
  try {
    RE2JS.compile(pattern);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
