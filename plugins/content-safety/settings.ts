/** The plugin's settings, and the rules that they make. */
import * as z from "zod";
import { patternNames } from "./pattern.ts";
import { actions } from "./rules.ts";
import type { Rule, RuleSet } from "./rules.ts";
import { compileTerms } from "./compile-terms.ts";
import type { TermFault } from "./term.ts";
import { WordScanner } from "./word-scanner.ts";
import { loadWordList } from "./word-list.ts";

export const MAX_LIST_BYTES = 16 * 1_048_576;
const MAX_INLINE_TERMS = 25_000;

const ActionSchema = z.enum(actions).meta({
  description: "`block` refuses, `mask` covers, `tag` records, `shadow` records that it would be refused.",
});

const NameSchema = z.string().regex(/^[a-z0-9][a-z0-9_-]{0,49}$/, "lower-case letters, digits, `_`, `-`; at most 50");

const ListSchema = z.strictObject({
  name: NameSchema.meta({ description: "The rule that verdicts name." }),
  category: NameSchema.default("words"),
  action: ActionSchema.default("block"),
  match: z.enum(["word", "anywhere"]).default("word").meta({
    description: "Whether a term must be a word of its own. Chinese terms, and others without spaces, need not be.",
  }),
  terms: z.array(z.string().min(1).max(200)).min(1).max(MAX_INLINE_TERMS).meta({
    description: "A `*` at an end lets the word go on there.",
  }),
});

export const ConfigSchema = z.strictObject({
  lists: z.array(ListSchema).max(100).default([]),
  patterns: z.partialRecord(z.enum(patternNames), ActionSchema).default({}),
  screen: z
    .strictObject({
      input: z.boolean().default(true),
      output: z.boolean().default(true),
      logs: z.boolean().default(true).meta({ description: "What models log, and the messages of their errors." }),
    })
    .prefault({}),
});
export type Config = z.output<typeof ConfigSchema>;

/** Compiles the lists. Throws an `Error` that names the terms that can't be used. */
export function rulesOf({ lists, patterns }: Config): RuleSet {
  if (lists.length === 0) return { words: null, wordRules: [], patterns };
  const wordRules: Rule[] = lists.map(({ name, category, action }) => ({ rule: name, category, action }));
  return { words: scannerOf(lists), wordRules, patterns };
}

/** The list that was compiled last: settings change more often than their word lists. */
let compiledLast: { key: string; scanner: WordScanner } | null = null;

function scannerOf(lists: Config["lists"]): WordScanner {
  const key = JSON.stringify(lists.map(({ match, terms }) => [match, terms]));
  if (compiledLast?.key === key) return compiledLast.scanner;
  const entries = lists.flatMap(({ match, terms }, rule) =>
    terms.map((text) => ({ text, rule, anywhere: match === "anywhere" })),
  );
  if (entries.length > MAX_INLINE_TERMS) {
    throw new RangeError(`The lists have ${entries.length} terms together; at most ${MAX_INLINE_TERMS} are allowed.`);
  }
  const { buffer, faults } = compileTerms(entries, MAX_LIST_BYTES);
  const [first] = faults;
  if (first !== undefined) {
    const others = faults.length > 1 ? ` So can't ${faults.length - 1} more.` : "";
    throw new Error(`The term ${JSON.stringify(first.text)} can't be looked for: ${faultTexts[first.fault]}.${others}`);
  }
  const scanner = new WordScanner(loadWordList(buffer));
  compiledLast = { key, scanner };
  return scanner;
}

const faultTexts: Readonly<Record<TermFault, string>> = {
  empty: "it has neither letters nor digits",
  too_long: "it is too long",
};
