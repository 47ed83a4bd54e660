/** The plugin's settings, and the rules that they make. */
import * as z from "zod";
import { patternNames } from "./pattern.ts";
import { actions } from "./rules.ts";
import type { Rule, RuleSet } from "./rules.ts";
import type { Artifacts } from "../kernel/services.ts";
import { openLists } from "./list-store.ts";

/** Of all lists together. */
const MAX_TERMS = 100_000;

const ActionSchema = z.enum(actions).meta({
  description: "`block` refuses, `mask` covers, `tag` records, `shadow` records that it would be refused.",
});

const NameSchema = z.string().regex(/^[a-z0-9][a-z0-9_-]{0,49}$/, "lower-case letters, digits, `_`, `-`; at most 50");

const ListSchema = z.strictObject({
  name: NameSchema.meta({ description: "The rule that verdicts name." }),
  category: NameSchema.default("words").meta({ description: "The category that verdicts name." }),
  action: ActionSchema.default("block"),
  match: z.enum(["word", "anywhere"]).default("word").meta({
    description: "Whether a term must be a word of its own. Chinese terms, and others without spaces, need not be.",
  }),
  terms: z.array(z.string().min(1).max(200)).min(1).max(MAX_TERMS).meta({
    description: "A `*` at an end lets the word go on there.",
  }),
});

export const ConfigSchema = z.strictObject({
  lists: z
    .array(ListSchema)
    .max(100)
    .default([])
    .meta({ description: `Words to look for, ${MAX_TERMS.toLocaleString("en")} in all lists together at most.` }),
  patterns: z
    .partialRecord(z.enum(patternNames), ActionSchema)
    .default({})
    .meta({ description: `What to do by pattern: ${patternNames.map((name) => `\`${name}\``).join(", ")}.` }),
  screen: z
    .strictObject({
      input: z.boolean().default(true).meta({ description: "Inputs of predictions." }),
      output: z.boolean().default(true).meta({ description: "Outputs of models, streamed or not." }),
      logs: z.boolean().default(true).meta({ description: "What models log, and the messages of their errors." }),
    })
    .prefault({})
    .meta({ description: "What is read." }),
});
export type Config = z.output<typeof ConfigSchema>;

/** Opens the lists. Throws an `Error` that names a term that can't be used. */
export async function rulesOf({ lists, patterns }: Config, artifacts: Artifacts): Promise<RuleSet> {
  if (lists.length === 0) return { words: null, wordRules: [], patterns };
  const wordRules: Rule[] = lists.map(({ name, category, action }) => ({ rule: name, category, action }));
  const entries = lists.flatMap(({ match, terms }, rule) =>
    terms.map((text) => ({ text, rule, anywhere: match === "anywhere" })),
  );
  if (entries.length > MAX_TERMS) {
    throw new RangeError(`The lists have ${entries.length} terms together; at most ${MAX_TERMS} are allowed.`);
  }
  return { words: await openLists(entries, artifacts), wordRules, patterns };
}
