/**
 * Compares a candidate of the automaton with its term, symbol by symbol, and judges what stands around and between:
 *
 * - at an end where a word must begin or end, no letter or digit may stand beside it ("Scunthorpe");
 * - a letter may be repeated in the text; in Chinese, where doubled characters are words, from three on;
 * - separators may stand between the letters, if they hide a word rather than part two ("pen is"): see `mayHide`.
 *
 * A match is at most `MAX_SPAN` units of text long, whatever invisible characters it has.
 */
import { kindOf, kinds } from "./fold.ts";
import { endOf } from "./normalize.ts";
import type { NormalizedText } from "./normalize.ts";
import { classOf, isLetterSign, likenessOf } from "./letter-classes.ts";
import { mayHide } from "./gaps.ts";
import type { Gap } from "./gaps.ts";
import { flags, RUNS_SHIFT } from "./term.ts";
import { isTermSign } from "./word-list.ts";
import type { WordList } from "./word-list.ts";

/** So many separators may stand between two letters of a term. */
export const MAX_GAP = 3;
export const MAX_SPAN = 2048;
/** What is farther from a match than so many units is not beside it, though nothing visible stands between. */
export const REACH = 64;
const FLAGS = (1 << RUNS_SHIFT) - 1;
/** How many beginnings and ends are tried, where the letters at an end of a match are repeated and apart. */
const MAX_CUTS = 4;

/** Where a term was found, in units of the text, and the rule that it belongs to. */
export type WordMatch = { start: number; end: number; rule: number };

/** One class of a term, or the symbols of a text that are one run of it. */
type TermRun = { letters: number[]; jointInside: boolean; jointAfter: boolean };

export class TermMatcher {
  readonly #list: WordList;

  constructor(list: WordList) {
    this.#list = list;
  }

  isLetter(symbol: number, readsSigns: boolean): boolean {
    return kindOf(symbol) >= kinds.digit || (readsSigns && isLetterSign(symbol)) || isTermSign(this.#list, symbol);
  }

  /**
   * The match of `term` whose last run ends with symbol `last`, none of it before `from`; null for none. `endsFree`:
   * whether a word can end with that run.
   */
  match(
    term: number,
    text: NormalizedText,
    from: number,
    last: number,
    readsSigns: boolean,
    endsFree: boolean,
  ): WordMatch | null {
    const meta = this.#list.termMeta[term] ?? 0;
    const bits = (meta >>> 16) & FLAGS;
    if (!endsFree && (bits & flags.rightEdge) !== 0) return null;
    if ((bits & flags.leftEdge) !== 0 && !this.#beginsFree(text, from, last, meta >>> (16 + RUNS_SHIFT), readsSigns)) {
      return null;
    }
    const { termStarts, pool } = this.#list;
    const symbols = pool.subarray(termStarts[term] ?? 0, termStarts[term + 1] ?? 0);
    const span =
      (bits & flags.literal) === 0
        ? this.#vary(symbols, bits, text, from, last, readsSigns)
        : this.#compare(symbols, bits, text, from, last);
    if (span === null) return null;
    const start = text.starts[span.first] ?? 0;
    const end = endOf(text, span.last);
    return end - start > MAX_SPAN ? null : { start, end, rule: meta & 0xffff };
  }

  /** Whether a word can end with the run that ends with symbol `last`: a separator is behind it, or inside of it. */
  endsFree(text: NormalizedText, from: number, last: number, readsSigns: boolean): boolean {
    const { symbols, length } = text;
    if (last + 1 >= length || !isWordPart(symbols[last + 1] ?? 0)) return true;
    if ((text.starts[last + 1] ?? 0) - endOf(text, last) > REACH) return true;
    const runClass = classOf(symbols[last] ?? 0);
    let at = last;
    while (at > from && classOf(symbols[at - 1] ?? 0) === runClass && this.isLetter(symbols[at - 1] ?? 0, readsSigns)) {
      at -= 1;
    }
    // The class that is stepped over to reach more of the run is that of a separator.
    return at > from && !this.isLetter(symbols[at - 1] ?? 0, readsSigns);
  }

  /** The same for the run that is the first of `runs`. */
  #beginsFree(text: NormalizedText, from: number, last: number, runs: number, readsSigns: boolean): boolean {
    const { symbols } = text;
    let left = runs;
    let runClass = -1;
    let previous = last + 1;
    for (let at = last; at >= from && previous - at <= MAX_GAP + 1; at -= 1) {
      const symbol = symbols[at] ?? 0;
      const isPart = this.isLetter(symbol, readsSigns);
      if (!isPart && left > 0) continue;
      const symbolClass = classOf(symbol);
      if (isPart && symbolClass !== runClass) {
        if (left === 0) return !isWordPart(symbol) || (text.starts[at + 1] ?? 0) - endOf(text, at) > REACH;
        left -= 1;
        runClass = symbolClass;
      } else if (!isPart) {
        return true;
      }
      previous = at;
    }
    return left === 0;
  }

  /** A term that is literal stands as it is written; only its spaces may be wider. */
  #compare(
    term: Uint16Array,
    bits: number,
    text: NormalizedText,
    from: number,
    last: number,
  ): { first: number; last: number } | null {
    const letters = term.filter((symbol) => this.isLetter(symbol, false)).length;
    const runStart = this.#runStart(text, from, last);
    for (let end = last; end >= runStart; end -= 1) {
      // `end` is its last letter; punctuation of its own may follow.
      let left = letters;
      let first = end + 1;
      while (left > 0 && first > from) {
        first -= 1;
        if (this.isLetter(text.symbols[first] ?? 0, false)) left -= 1;
      }
      if (left > 0) return null;
      let at = first;
      let isSame = true;
      for (const symbol of term) {
        if ((text.symbols[at] ?? 0) !== symbol) {
          isSame = false;
          break;
        }
        at += 1;
      }
      if (isSame && this.#isFree(text, first, at - 1, bits)) return { first, last: at - 1 };
    }
    return null;
  }

  #vary(
    term: Uint16Array,
    bits: number,
    text: NormalizedText,
    from: number,
    last: number,
    readsSigns: boolean,
  ): { first: number; last: number } | null {
    const runs = runsOf(term);
    const letters = lettersOf(runs);
    const found = this.#collect(text, from, last, runs.length, readsSigns);
    if (found.length < runs.length) return null;
    for (let index = 1; index < runs.length - 1; index += 1) {
      if (!fits(runs[index], found[index], text, bits)) return null;
    }
    const lastRun = found.at(-1) ?? [];
    const firstRun = found[0] ?? [];
    for (const end of this.#cuts(lastRun, bits, false)) {
      for (const begin of this.#cuts(firstRun, bits, true)) {
        const chosen = chooseEnds(found, begin, end);
        if (chosen === null) continue;
        if (!fits(runs[0], chosen[0], text, bits)) continue;
        if (runs.length > 1 && !fits(runs.at(-1), chosen.at(-1), text, bits)) continue;
        if (!this.#isFree(text, begin, end, bits)) continue;
        if (!isPlausible(runs, chosen, text)) continue;
        if (!mayHide(text, begin, end, gapsOf(runs, chosen), bits, letters)) continue;
        return { first: begin, last: end };
      }
    }
    return null;
  }

  /** The symbols of the last `count` runs that end with `last`, in the order of the text. */
  #collect(text: NormalizedText, from: number, last: number, count: number, readsSigns: boolean): number[][] {
    const found: number[][] = [];
    let run: number[] = [];
    let runClass = -1;
    let previous = last;
    for (let at = last; at >= from && previous - at <= MAX_GAP + 1; at -= 1) {
      const symbol = text.symbols[at] ?? 0;
      if (!this.isLetter(symbol, readsSigns)) continue;
      const symbolClass = classOf(symbol);
      if (symbolClass !== runClass) {
        if (found.length === count) break;
        run = [];
        found.push(run);
        runClass = symbolClass;
      }
      if (run.length >= MAX_SPAN) break;
      run.push(at);
      previous = at;
    }
    for (const each of found) each.reverse();
    return found.reverse();
  }

  /** Symbols of a run where a match may begin (or end): the ends of its pieces, the piece that is nearest first. */
  #cuts(run: readonly number[], bits: number, isBeginning: boolean): number[] {
    const edge = isBeginning ? flags.leftEdge : flags.rightEdge;
    if ((bits & edge) === 0) return openCuts(run, isBeginning);
    const cuts: number[] = [];
    for (let step = 0; step < run.length && cuts.length < MAX_CUTS; step += 1) {
      const index = isBeginning ? run.length - 1 - step : step;
      const at = run[index] ?? 0;
      if (isBeginning ? run[index - 1] !== at - 1 : run[index + 1] !== at + 1) cuts.push(at);
    }
    const outermost = isBeginning ? run[0] : run.at(-1);
    if (outermost !== undefined && !cuts.includes(outermost)) cuts.push(outermost);
    return cuts;
  }

  /** Whether no letter or digit stands beside the match, where it may not go on. */
  #isFree(text: NormalizedText, first: number, last: number, bits: number): boolean {
    if ((bits & flags.leftEdge) !== 0 && first > 0) {
      const isNear = (text.starts[first] ?? 0) - endOf(text, first - 1) <= REACH;
      if (isNear && isWordPart(text.symbols[first - 1] ?? 0)) return false;
    }
    if ((bits & flags.rightEdge) !== 0 && last + 1 < text.length) {
      const isNear = (text.starts[last + 1] ?? 0) - endOf(text, last) <= REACH;
      if (isNear && isWordPart(text.symbols[last + 1] ?? 0)) return false;
    }
    return true;
  }

  #runStart(text: NormalizedText, from: number, last: number): number {
    const symbolClass = classOf(text.symbols[last] ?? 0);
    let first = last;
    for (let at = last; at >= from && first - at <= MAX_GAP + 1; at -= 1) {
      const symbol = text.symbols[at] ?? 0;
      if (!this.isLetter(symbol, false)) continue;
      if (classOf(symbol) !== symbolClass) break;
      first = at;
    }
    return first;
  }
}

/** A letter or digit of a script with spaces: no word ends before it. */
export function isWordPart(symbol: number): boolean {
  const kind = kindOf(symbol);
  return kind === kinds.letter || kind === kinds.digit;
}

function openCuts(run: readonly number[], isBeginning: boolean): number[] {
  const cuts: number[] = [];
  for (let step = 0; step < run.length && cuts.length < MAX_CUTS; step += 1) {
    cuts.push(run[isBeginning ? run.length - 1 - step : step] ?? 0);
  }
  const outermost = isBeginning ? run[0] : run.at(-1);
  if (outermost !== undefined && !cuts.includes(outermost)) cuts.push(outermost);
  return cuts;
}

/** The term's letters by class; joints are its separators. */
function runsOf(term: Uint16Array): TermRun[] {
  const runs: TermRun[] = [];
  let runClass = -1;
  let isJoint = false;
  for (const symbol of term) {
    if (kindOf(symbol) < kinds.digit && symbol === 0x20) {
      isJoint = true;
      continue;
    }
    const symbolClass = classOf(symbol);
    const run = runs.at(-1);
    if (run !== undefined && symbolClass === runClass) {
      run.letters.push(symbol);
      run.jointInside ||= isJoint;
    } else {
      if (run !== undefined) run.jointAfter = isJoint;
      runs.push({ letters: [symbol], jointInside: false, jointAfter: false });
      runClass = symbolClass;
    }
    isJoint = false;
  }
  return runs;
}

function lettersOf(runs: readonly TermRun[]): number {
  return runs.reduce((sum, { letters }) => sum + letters.length, 0);
}

/** The runs with the first cut at its beginning and the last at its end; null when nothing is left of one. */
function chooseEnds(found: readonly number[][], begin: number, end: number): number[][] | null {
  if (begin > end) return null;
  return found.map((run, index) => {
    const isFirst = index === 0;
    const isLast = index === found.length - 1;
    return isFirst || isLast ? run.filter((at) => (!isFirst || at >= begin) && (!isLast || at <= end)) : run;
  });
}

/** Whether the symbols of a text can be the letters of a term's run, each once or more. */
function fits(
  term: TermRun | undefined,
  run: readonly number[] | undefined,
  text: NormalizedText,
  bits: number,
): boolean {
  if (term === undefined || run === undefined) return false;
  const { letters } = term;
  if (run.length < letters.length) return false;
  const excess = run.length - letters.length;
  const kind = kindOf(letters[0] ?? 0);
  if (excess > 0 && kind === kinds.digit) return false;
  if (excess > 0 && kind === kinds.unspaced && (bits & flags.unspaced) !== 0 && run.length < 3) return false;
  // Bit k: the symbols up to here can be the letters up to k.
  let reached = 0;
  for (const [index, at] of run.entries()) {
    const symbol = text.symbols[at] ?? 0;
    let possible = index === 0 ? 1 : reached | (reached << 1);
    if (letters.length < 30) possible &= (1 << letters.length) - 1;
    let next = 0;
    for (let letter = 0; letter < letters.length && letter < 30; letter += 1) {
      if ((possible & (1 << letter)) !== 0 && likenessOf(symbol, letters[letter] ?? 0) !== "none") next |= 1 << letter;
    }
    reached = next;
    if (reached === 0) return false;
  }
  return (reached & (1 << (Math.min(letters.length, 30) - 1))) !== 0;
}

/**
 * Whether digits and signs in the place of letters leave enough of the word: two letters must stand as they are, and
 * one of them must be none of `a` to `f`, else it may as well be a number (`a55`, `b00`).
 */
function isPlausible(runs: readonly TermRun[], chosen: readonly number[][], text: NormalizedText): boolean {
  let same = 0;
  let beyondHex = 0;
  let digits = 0;
  let disguised = 0;
  let lastIsMark = false;
  for (const [index, run] of chosen.entries()) {
    const letters = runs[index]?.letters ?? [];
    for (const at of run) {
      const symbol = text.symbols[at] ?? 0;
      const isSame = letters.some((letter) => likenessOf(symbol, letter) === "same");
      if (isSame) {
        same += 1;
        if (symbol < 0x61 || symbol > 0x66) beyondHex += 1;
      } else {
        disguised += 1;
        if (kindOf(symbol) === kinds.digit) digits += 1;
      }
      lastIsMark = !isSame && (symbol === 0x21 || symbol === 0x7c);
    }
  }
  if (disguised === 0) return true;
  if (lastIsMark) return false;
  const first = text.symbols[chosen[0]?.[0] ?? 0] ?? 0;
  const startsWithStroke = disguised === 1 && likenessOf(first, 0x6c) === "disguised" && runs[0]?.letters[0] === 0x6c;
  if (startsWithStroke && kindOf(first) === kinds.letter) return false;
  return digits === 0 ? same >= 1 : same >= 2 && beyondHex >= 1;
}

/** What stands between the letters; not where the term has a separator itself. */
function gapsOf(runs: readonly TermRun[], chosen: readonly number[][]): Gap[] {
  const gaps: Gap[] = [];
  let previous = -1;
  for (const [index, run] of chosen.entries()) {
    for (const [inRun, at] of run.entries()) {
      if (previous >= 0 && at > previous + 1) {
        const isJoint = inRun === 0 ? (runs[index - 1]?.jointAfter ?? false) : (runs[index]?.jointInside ?? false);
        gaps.push({ before: previous, after: at, isJoint });
      }
      previous = at;
    }
  }
  return gaps;
}
