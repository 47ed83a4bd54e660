/** Looks through one text, or the next part of one, for words and patterns. */
import { heldByPatterns } from "./held-patterns.ts";
import { scanDigits } from "./digit-patterns.ts";
import { scanEmails } from "./email.ts";
import { scanIbans } from "./iban.ts";
import { scanKeys } from "./api-keys.ts";
import type { PatternMatch, PatternName, PatternScanner } from "./pattern.ts";
import type { Found, RuleSet } from "./rules.ts";
import { endOf, normalize } from "./normalize.ts";
import type { NormalizedText } from "./normalize.ts";

const scanners: readonly { names: readonly PatternName[]; scan: PatternScanner }[] = [
  { names: ["card", "resident_id", "phone"], scan: scanDigits },
  { names: ["iban"], scan: scanIbans },
  { names: ["email"], scan: scanEmails },
  { names: ["api_key"], scan: scanKeys },
];

/** So many symbols before what was let go decide over what follows: the beginning of a word, an initial. */
const CONTEXT_SYMBOLS = 3;
const CONTEXT_UNITS = 256;
/** What takes more units of a text is taken for nothing, and no more than that is ever held. */
const MAX_HELD_UNITS = 8192;
/** A text is read in pieces of so many units. */
export const WINDOW_UNITS = 65_536;

/**
 * `found` lies before `heldFrom`; from there on the text has to wait for more of it. `contextFrom` is where the context
 * of what waits begins.
 */
export type TextScan = { found: Found[]; heldFrom: number; contextFrom: number };

/**
 * Scans `text` from unit `from` on; what is before was let go already and is context. Unless `isWhole`, more follows.
 */
export function scanText(rules: RuleSet, text: string, from: number, isWhole: boolean): TextScan {
  const normalized = normalize(text, isWhole);
  const { starts, length } = normalized;
  let first = 0;
  while (first < length && (starts[first] ?? 0) < from) first += 1;

  const found: Found[] = [];
  let held = length;
  if (rules.words !== null) {
    const words = rules.words.scan(normalized, first, isWhole);
    held = Math.min(held, words.heldFrom);
    for (const { start, end, rule } of words.matches) {
      const known = rules.wordRules[rule];
      if (known !== undefined) found.push({ ...known, start, end });
    }
  }
  if (Object.keys(rules.patterns).length > 0) {
    held = Math.min(held, scanPatterns(rules, normalized, first, isWhole, found));
  }
  if (isWhole) return { found, heldFrom: text.length, contextFrom: text.length };
  return untilHeld(normalized, held, found);
}

/** All that is in `text`, in its units, in no order. A long text is read in pieces. */
export function findAll(rules: RuleSet, text: string): Found[] {
  const found: Found[] = [];
  let base = 0;
  let from = 0;
  for (;;) {
    const isWhole = text.length - from <= WINDOW_UNITS;
    const scan = scanText(
      rules,
      isWhole ? text.slice(base) : text.slice(base, from + WINDOW_UNITS),
      from - base,
      isWhole,
    );
    for (const one of scan.found) found.push({ ...one, start: one.start + base, end: one.end + base });
    if (isWhole) return found;
    from = base + scan.heldFrom;
    base += scan.contextFrom;
  }
}

function scanPatterns(
  { patterns }: RuleSet,
  text: NormalizedText,
  first: number,
  isWhole: boolean,
  found: Found[],
): number {
  let held = isWhole ? text.length : heldByPatterns(text, first);
  const add = (match: PatternMatch): void => {
    // What reaches to the end of the text may go on.
    if (!isWhole && match.last === text.length - 1) held = Math.min(held, match.first);
    const action = patterns[match.pattern];
    const start = text.starts[match.first] ?? 0;
    const end = endOf(text, match.last);
    if (action === undefined || end - start > MAX_HELD_UNITS) return;
    found.push({ category: match.pattern, rule: match.rule, action, start, end });
  };
  for (const { names, scan } of scanners) {
    if (names.some((name) => patterns[name] !== undefined)) scan(text, first, add);
  }
  return held;
}

/** Keeps what is found before what is held; what lies across is held as a whole. */
function untilHeld(text: NormalizedText, held: number, found: readonly Found[]): TextScan {
  const bound = text.units - MAX_HELD_UNITS;
  let heldFrom = Math.max(bound, held < text.length ? (text.starts[held] ?? 0) : text.units);
  const near = found.filter(({ start }) => start >= bound);
  const across = (one: Found): boolean => one.start < heldFrom && one.end > heldFrom;
  for (let one = near.find(across); one !== undefined; one = near.find(across)) heldFrom = one.start;
  let symbol = text.length;
  while (symbol > 0 && (text.starts[symbol - 1] ?? 0) >= heldFrom) symbol -= 1;
  const context = symbol === 0 ? 0 : (text.starts[Math.max(0, symbol - CONTEXT_SYMBOLS)] ?? 0);
  return {
    found: found.filter(({ end }) => end <= heldFrom),
    heldFrom,
    contextFrom: Math.min(heldFrom, Math.max(context, heldFrom - CONTEXT_UNITS, 0)),
  };
}
