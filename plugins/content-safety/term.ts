/** A term of a word list, taken apart: its letters, and what may stand around and between them. */
import { kindOf, kinds, STROKE_SYMBOL } from "./fold.ts";
import { normalize } from "./normalize.ts";
import { classOf, isLetterSign } from "./letter-classes.ts";

export const MAX_TERM_LETTERS = 127;

/** Bits of a term in the compiled list; the number of its runs stands above them, from bit `RUNS_SHIFT` on. */
export const RUNS_SHIFT = 4;

export const flags = {
  /** Its left end must be the beginning of a word. */
  leftEdge: 1,
  rightEdge: 2,
  /** It has characters of a script without spaces. */
  unspaced: 4,
  /** As it stands, with its own punctuation: for what is too short, or has no letters, to be varied. */
  literal: 8,
} as const;

export type Term = {
  /** Its symbols; between words one separator. A term that is literal keeps all of its own. */
  readonly symbols: readonly number[];
  /** The classes of its letters, repeated ones once: what the automaton runs on. */
  readonly key: readonly number[];
  readonly flags: number;
};

/** Why a term can't be used. */
export type TermFault = "empty" | "too_long";

const STAR = "*";

/**
 * Takes `text` apart. `*` at an end lets the word go on there; `anywhere` lets it stand inside of words. A term without
 * letters and digits is one of its signs, unless they are all ASCII.
 */
export function parseTerm(text: string, anywhere: boolean): Term | TermFault {
  const trimmed = text.trim();
  const opensLeft = trimmed.startsWith(STAR);
  const opensRight = trimmed.length > 1 && trimmed.endsWith(STAR);
  const { symbols: all, length } = normalize(trimmed.slice(opensLeft ? 1 : 0, opensRight ? -1 : undefined));
  const symbols = Array.from(all.subarray(0, length), plain);
  const isLetter = symbols.some((symbol) => kindOf(symbol) >= kinds.digit) ? isWordSymbol : isForeignSign;
  const letters = symbols.filter(isLetter);
  const first = symbols.findIndex(isLetter);
  if (letters.length === 0) return "empty";
  if (letters.length > MAX_TERM_LETTERS || symbols.length > 2 * MAX_TERM_LETTERS) return "too_long";
  const last = symbols.findLastIndex(isLetter);
  const isVaried = letters.some((symbol) => kindOf(symbol) >= kinds.letter);
  const hasJoint = symbols.slice(first, last + 1).some((symbol) => !isLetter(symbol));
  const literal = !isVaried || (hasJoint && letters.length <= 3);
  let bits = 0;
  if (!anywhere && !opensLeft && isSpaced(letters[0])) bits |= flags.leftEdge;
  if (!anywhere && !opensRight && isSpaced(letters.at(-1))) bits |= flags.rightEdge;
  if (letters.some((symbol) => kindOf(symbol) === kinds.unspaced)) bits |= flags.unspaced;
  if (literal) bits |= flags.literal;
  return {
    symbols: literal ? symbols.slice(first) : withSingleJoints(symbols.slice(first, last + 1), isLetter),
    key: keyOf(letters),
    flags: bits,
  };
}

function plain(symbol: number): number {
  return symbol === STROKE_SYMBOL ? 0x69 : symbol;
}

function isWordSymbol(symbol: number): boolean {
  return kindOf(symbol) >= kinds.digit;
}

function isForeignSign(symbol: number): boolean {
  return symbol > 0x7f && !isLetterSign(symbol);
}

function isSpaced(symbol: number | undefined): boolean {
  if (symbol === undefined) return false;
  const kind = kindOf(symbol);
  return kind === kinds.letter || kind === kinds.digit;
}

function withSingleJoints(symbols: readonly number[], isLetter: (symbol: number) => boolean): number[] {
  const kept: number[] = [];
  for (const symbol of symbols) {
    if (isLetter(symbol)) kept.push(symbol);
    else if (kept.at(-1) !== 0x20) kept.push(0x20);
  }
  return kept;
}

function keyOf(letters: readonly number[]): number[] {
  const key: number[] = [];
  for (const letter of letters) {
    const symbolClass = classOf(letter);
    if (key.at(-1) !== symbolClass) key.push(symbolClass);
  }
  return key;
}
