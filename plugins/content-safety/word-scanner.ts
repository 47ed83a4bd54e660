/**
 * Runs the automaton over a normalized text. Between the letters of a term separators are stepped over, and a letter
 * that is repeated counts once; what ends somewhere in such a text is a candidate, which `term-matcher.ts` compares
 * exactly.
 *
 * A sign that may be a letter (`sh!t`) may as well be a separator (`s!h!i!t`): the text is read both ways at once. The
 * second reader is there only while what it reads has such a sign in it.
 */
import { kindOf, kinds } from "./fold.ts";
import { endOf } from "./normalize.ts";
import type { NormalizedText } from "./normalize.ts";
import { classOf, isLetterSign } from "./letter-classes.ts";
import { isWordPart, MAX_GAP, MAX_SPAN, REACH, TermMatcher } from "./term-matcher.ts";
import type { WordMatch } from "./term-matcher.ts";
import { BASE_MASK, DEPTH_MASK, ENDS_BIT, OPEN_BIT, OUTPUT_MASK, RECORD_WORDS, ROOT, STEP_WORDS } from "./trie.ts";
import { isTermSign } from "./word-list.ts";
import type { WordList } from "./word-list.ts";

const SEPARATOR = 0;
/** A letter that no term has. */
const FOREIGN = 0xfffe;
const UNKNOWN = 0xffff;
/** Added to the code of a sign that may be a letter. */
const SIGN = 0x8000;

export type WordScan = { matches: WordMatch[]; heldFrom: number };

/** Reads texts with one word list; keep it as long as the list. */
export class WordScanner {
  readonly #list: WordList;
  readonly #matcher: TermMatcher;
  /** By symbol: its code, or one of the marks above. */
  readonly #codes = new Uint16Array(0x10000).fill(UNKNOWN);

  constructor(list: WordList) {
    this.#list = list;
    this.#matcher = new TermMatcher(list);
  }

  /**
   * Finds the terms in `text` from symbol `from` on; what is before is context. Unless the text `isWhole`, what may
   * still become a term at its end is left: `heldFrom` is the first symbol of it, or the text's length.
   */
  scan(text: NormalizedText, from: number, isWhole: boolean): WordScan {
    const { steps, fails, outputs } = this.#list;
    const { symbols, starts, length } = text;
    const matches: WordMatch[] = [];
    const codes = this.#codes;
    let state = ROOT;
    let runCode = 0;
    let last = from - 1;
    let runHasGap = false;
    let signed: SignedReader | null = null;

    for (let at = from; at < length; at += 1) {
      const symbol = symbols[at] ?? 0;
      let code = codes[symbol] ?? UNKNOWN;
      if (code === UNKNOWN) code = this.#learn(symbol);
      if (code === SEPARATOR) continue;
      if (code !== FOREIGN && (code & SIGN) !== 0) {
        signed ??= { from, state, runCode, last, runsSince: 0 };
        this.#readSigned(signed, text, at, code & ~SIGN, true, matches);
        if (signed.state === ROOT) signed = null;
        continue;
      }
      if (signed !== null) {
        this.#readSigned(signed, text, at, code, false, matches);
        if (depthOf(outputs, signed.state) <= signed.runsSince) signed = null;
      }
      const isNear = at - last <= MAX_GAP + 1;
      if (code === runCode && isNear) {
        if (at !== last + 1) runHasGap = true;
        last = at;
        continue;
      }
      const marks = steps[state * STEP_WORDS] ?? 0;
      if ((marks & ENDS_BIT) !== 0) {
        // Most of what ends inside of a word is told here to be no word.
        const isInside = at === last + 1 && !runHasGap && (marks & OPEN_BIT) === 0 && isWordPart(symbol);
        if (!isInside || (starts[at] ?? 0) - (starts[last] ?? 0) > REACH) {
          this.#report(state, text, from, last, false, matches);
        }
      }
      if (!isNear) state = ROOT;
      if (code === FOREIGN) state = ROOT;
      else {
        for (let node = state; ; node = fails[node] ?? ROOT) {
          const word = steps[node * STEP_WORDS] ?? 0;
          if (((word >>> (24 + (code & 7))) & 1) !== 0) {
            state = (word & BASE_MASK) + code;
            if (steps[state * STEP_WORDS + 1] === node) break;
          }
          if (node === ROOT) {
            state = ROOT;
            break;
          }
        }
      }
      runCode = code;
      runHasGap = false;
      last = at;
    }

    if (isWhole) {
      if (state !== ROOT) this.#report(state, text, from, last, false, matches);
      if (signed !== null) this.#report(signed.state, text, from, signed.last, true, matches);
      return { matches, heldFrom: length };
    }
    let heldFrom = this.#pause(text, from, state, last, false, matches);
    if (signed !== null) {
      heldFrom = Math.min(heldFrom, this.#pause(text, from, signed.state, signed.last, true, matches));
    }
    return { matches, heldFrom };
  }

  #readSigned(
    signed: SignedReader,
    text: NormalizedText,
    at: number,
    code: number,
    isSign: boolean,
    matches: WordMatch[],
  ): void {
    const isNear = at - signed.last <= MAX_GAP + 1;
    if (code !== signed.runCode || !isNear) {
      if (signed.state !== ROOT) this.#report(signed.state, text, signed.from, signed.last, true, matches);
      if (!isNear) signed.state = ROOT;
      signed.state = code === FOREIGN ? ROOT : this.#step(signed.state, code);
      signed.runCode = code;
      signed.runsSince += 1;
    }
    if (isSign) signed.runsSince = 0;
    signed.last = at;
  }

  #step(from: number, code: number): number {
    const { steps, fails } = this.#list;
    for (let node = from; ; node = fails[node] ?? ROOT) {
      const word = steps[node * STEP_WORDS] ?? 0;
      if (((word >>> (24 + (code & 7))) & 1) !== 0) {
        const child = (word & BASE_MASK) + code;
        if (steps[child * STEP_WORDS + 1] === node) return child;
      }
      if (node === ROOT) return ROOT;
    }
  }

  /** Compares the terms that may end with the run whose last symbol is `last`. */
  #report(
    state: number,
    text: NormalizedText,
    from: number,
    last: number,
    readsSigns: boolean,
    matches: WordMatch[],
  ): void {
    const { outputs, records } = this.#list;
    let record = (outputs[state] ?? 0) & OUTPUT_MASK;
    if (record === 0) return;
    const endsFree = this.#matcher.endsFree(text, from, last, readsSigns);
    while (record !== 0) {
      const high = records[record * RECORD_WORDS + 1] ?? 0;
      for (let term = records[record * RECORD_WORDS] ?? 0; term < high; term += 1) {
        const match = this.#matcher.match(term, text, from, last, readsSigns, endsFree);
        if (match !== null) matches.push(match);
      }
      record = records[record * RECORD_WORDS + 2] ?? 0;
    }
  }

  /**
   * The first symbol of what `state` has read: as many runs back as the state is deep. What nothing that follows can
   * change any more is reported.
   */
  #pause(
    text: NormalizedText,
    from: number,
    state: number,
    last: number,
    readsSigns: boolean,
    matches: WordMatch[],
  ): number {
    if (state === ROOT) return text.length;
    const isOver = text.length - 1 - last > MAX_GAP;
    if (isOver || text.units - endOf(text, last) > REACH) this.#report(state, text, from, last, readsSigns, matches);
    if (isOver) return text.length;
    const depth = depthOf(this.#list.outputs, state);
    let runs = 0;
    let runClass = -1;
    let first = last;
    for (let at = last; at >= from && first - at <= MAX_GAP + 1; at -= 1) {
      const symbol = text.symbols[at] ?? 0;
      if (!this.#matcher.isLetter(symbol, readsSigns)) continue;
      const symbolClass = classOf(symbol);
      if (symbolClass !== runClass) {
        if (runs === depth) break;
        runs += 1;
        runClass = symbolClass;
      }
      if (text.units - (text.starts[at] ?? 0) > MAX_SPAN) break;
      first = at;
    }
    return first;
  }

  #learn(symbol: number): number {
    const code = this.#list.codes.get(classOf(symbol)) ?? FOREIGN;
    let known = code;
    if (kindOf(symbol) < kinds.digit && !isTermSign(this.#list, symbol)) {
      known = isLetterSign(symbol) && code !== FOREIGN ? code | SIGN : SEPARATOR;
    }
    this.#codes[symbol] = known;
    return known;
  }
}

function depthOf(outputs: Int32Array, node: number): number {
  return ((outputs[node] ?? 0) >>> 24) & DEPTH_MASK;
}

/** `runsSince`: how many runs were read after the last sign's. */
type SignedReader = { from: number; state: number; runCode: number; last: number; runsSince: number };
