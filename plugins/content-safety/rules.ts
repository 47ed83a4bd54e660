/** What is to be done about what. */
import type { PatternName } from "./pattern.ts";
import type { WordScanner } from "./word-scanner.ts";

/**
 * `block`: the text is refused. `mask`: what was found is covered. `tag`: it is recorded. `shadow`: it is recorded that
 * the text would be refused.
 */
export const actions = ["block", "mask", "tag", "shadow"] as const;
export type Action = (typeof actions)[number];

export type Rule = { readonly category: string; readonly rule: string; readonly action: Action };

/** `words` is null without lists; the rules of words by their number in the list. */
export type RuleSet = {
  readonly words: WordScanner | null;
  readonly wordRules: readonly Rule[];
  readonly patterns: Readonly<Partial<Record<PatternName, Action>>>;
};

/** Where something was found, in units of the text. */
export type Found = Rule & { readonly start: number; readonly end: number };
