/** Counts what the scanner misses of generated evasions, and its false alarms on clean sentences. */
import { readFileSync } from "node:fs";
import type { RuleSet } from "../../../plugins/content-safety/rules.ts";
import { findAll } from "../../../plugins/content-safety/scan-text.ts";
import { emptyStream, push } from "../../../plugins/content-safety/stream.ts";
import { patternNames } from "../../../plugins/content-safety/pattern.ts";
import { compileTerms } from "../../../plugins/content-safety/compile-terms.ts";
import { WordScanner } from "../../../plugins/content-safety/word-scanner.ts";
import { loadWordList } from "../../../plugins/content-safety/word-list.ts";
import { EvasionGenerator, isHeldOut } from "./evasions.ts";
import type { Evasion } from "./evasions.ts";
import { terms } from "./packages.ts";

export function rulesOfTerms(withPatterns = false): RuleSet {
  const entries = terms.map((text, rule) => ({ text, rule, anywhere: false }));
  const { buffer, faults } = compileTerms(entries, 1 << 24);
  if (faults.length > 0) throw new Error(`${faults.length} terms can't be used`);
  return {
    words: new WordScanner(loadWordList(buffer)),
    wordRules: terms.map((term) => ({ category: "words", rule: term, action: "block" })),
    patterns: withPatterns ? Object.fromEntries(patternNames.map((name) => [name, "block"])) : {},
  };
}

export function corpus(name: "speeches.en" | "everyday.en" | "everyday.zh"): string[] {
  const text = readFileSync(`${import.meta.dirname}/corpus/${name}.txt`, "utf8");
  return text.split("\n").filter((line) => line !== "");
}

export type Tally = { tried: number; missed: Evasion[] };

/** Hides terms in sentences that are clean by themselves, and streams them in small chunks. */
export function countMisses(rules: RuleSet, count: number, seed: number): { tuned: Tally; heldOut: Tally } {
  // What is too short or has no letters to be varied is looked for as it stands: "s&m", "13.", a pictograph.
  const varied = terms
    .filter((term) => (term.match(/\p{L}/gu) ?? []).length >= 2 || /^\p{Script=Han}$/u.test(term))
    .filter((term) => term !== "s&m");
  const isClean = (sentence: string): boolean => findAll(rules, sentence).length === 0;
  const sentences = {
    en: [...corpus("speeches.en"), ...corpus("everyday.en")].filter((_, index) => index % 7 === 0).filter(isClean),
    zh: corpus("everyday.zh")
      .filter((_, index) => index % 5 === 0)
      .filter(isClean),
  };
  const generator = new EvasionGenerator(seed, varied, sentences);
  const tuned: Tally = { tried: 0, missed: [] };
  const heldOut: Tally = { tried: 0, missed: [] };
  for (let index = 0; index < count; index += 1) {
    const evasion = generator.next();
    const tally = isHeldOut(evasion.term) ? heldOut : tuned;
    tally.tried += 1;
    if (!isBlocked(rules, evasion.chunks)) tally.missed.push(evasion);
  }
  return { tuned, heldOut };
}

function isBlocked(rules: RuleSet, chunks: readonly string[]): boolean {
  let state = emptyStream;
  for (const [index, chunk] of chunks.entries()) {
    const pushed = push(rules, chunk, state, index === chunks.length - 1);
    if (pushed.blocked) return true;
    state = pushed.state;
  }
  return false;
}

/**
 * `false`: something was found in a sentence that has no term, as anybody would look for it: as a word, in Chinese as a
 * part. `plain`: in one that does have one: there the list is too wide; the scanner isn't wrong.
 */
export function countAlarms(rules: RuleSet, sentences: readonly string[]): { false: string[]; plain: number } {
  const words = terms
    .map((term) =>
      /\p{Script=Han}/u.test(term) ? quoted(term) : `(?<![\\p{L}\\p{N}])${quoted(term)}(?![\\p{L}\\p{N}])`,
    )
    .join("|");
  const plainly = new RegExp(words, "iu");
  const alarms: string[] = [];
  let plain = 0;
  for (const sentence of sentences) {
    if (findAll(rules, sentence).length === 0) continue;
    if (plainly.test(sentence)) plain += 1;
    else alarms.push(sentence);
  }
  return { false: alarms, plain };
}

function quoted(term: string): string {
  return term.replaceAll(/[.*+?^${}()|[\]\\&]/g, String.raw`\$&`).replaceAll("\\&", "&");
}
