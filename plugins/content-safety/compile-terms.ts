/** Compiles terms into one buffer, at publishing; `word-list.ts` reads it. */
import { flags, parseTerm } from "./term.ts";
import type { Term, TermFault } from "./term.ts";
import { buildTrie } from "./trie.ts";
import { writeWordList } from "./word-list.ts";

/** One term as an operator writes it. `rule` is a number of the caller's, 0 to 65,535, that findings name. */
export type TermEntry = { text: string; rule: number; anywhere: boolean };

export type Compiled = { buffer: ArrayBuffer; termCount: number; faults: { text: string; fault: TermFault }[] };

type CodedTerm = { term: Term; rule: number; key: Uint16Array };

/** Throws `RangeError` for a list over `maxBytes` when compiled. Terms that can't be used come back as faults. */
export function compileTerms(entries: readonly TermEntry[], maxBytes: number): Compiled {
  const parsed: { term: Term; rule: number }[] = [];
  const faults: Compiled["faults"] = [];
  for (const { text, rule, anywhere } of entries) {
    const term = parseTerm(text, anywhere);
    if (typeof term === "string") faults.push({ text, fault: term });
    else parsed.push({ term, rule });
  }
  const codes = codesByUse(parsed.map(({ term }) => term));
  const coded: CodedTerm[] = parsed.map(({ term, rule }) => ({
    term,
    rule,
    key: Uint16Array.from(term.key, (symbolClass) => codes.get(symbolClass) ?? 0),
  }));
  coded.sort((left, right) => compareKeys(left.key, right.key));
  const trie = buildTrie(
    coded.map(({ key }) => key),
    coded.map(({ term }) => (term.flags & flags.rightEdge) === 0),
    codes.size,
  );
  const buffer = writeWordList(trie, codes, coded);
  if (buffer.byteLength > maxBytes) {
    const mebibytes = (buffer.byteLength / 1_048_576).toFixed(1);
    throw new RangeError(`The compiled word lists take ${mebibytes} MiB; at most ${maxBytes / 1_048_576} are loaded.`);
  }
  return { buffer, termCount: coded.length, faults };
}

/** Codes from 1 on, the most used first: what is visited most lies together. */
function codesByUse(terms: readonly Term[]): Map<number, number> {
  const uses = new Map<number, number>();
  for (const { key } of terms) for (const symbolClass of key) uses.set(symbolClass, (uses.get(symbolClass) ?? 0) + 1);
  const sorted = [...uses].sort(([a, left], [b, right]) => right - left || a - b);
  return new Map(sorted.map(([symbolClass], index) => [symbolClass, index + 1]));
}

function compareKeys(left: Uint16Array, right: Uint16Array): number {
  const length = Math.min(left.length, right.length);
  for (let at = 0; at < length; at += 1) {
    const difference = (left[at] ?? 0) - (right[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}
