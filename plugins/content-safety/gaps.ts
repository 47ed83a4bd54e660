/**
 * Whether separators between the letters of a term hide it ("f.u.c.k", "f u c k", "fu ck", "法 轮 功") or merely part
 * words that have those letters by chance ("pen is", "男性 交流").
 */
import { kindOf, kinds, SPACE } from "./fold.ts";
import type { NormalizedText } from "./normalize.ts";
import { classOf } from "./letter-classes.ts";
import { isShortWord } from "./short-words.ts";
import { flags } from "./term.ts";

/** Symbols `before` and `after` belong to the match; what is between them does not. */
export type Gap = { before: number; after: number; isJoint: boolean };

/** In Chinese, these end a phrase: what stands on both sides of one isn't one word. */
const PHRASE_ENDS = new Set(
  Array.from(",!?:;。、.…")
    .filter((mark) => mark !== ".")
    .map((mark) => mark.charCodeAt(0)),
);

const MIN_HIDDEN_LETTERS = 3;
/** From so many letters on, a term may be parted by spaces into pieces of several letters. */
const MIN_PARTED_LETTERS = 4;
/** A piece of so many letters may be a word that the list of short words does not have. */
const LONG_PIECE = 4;

export function mayHide(
  text: NormalizedText,
  first: number,
  last: number,
  gaps: readonly Gap[],
  bits: number,
  letters: number,
): boolean {
  const hiding = gaps.filter(({ isJoint }) => !isJoint);
  if (hiding.length === 0) return true;
  return (bits & flags.unspaced) === 0
    ? hidesInWords(text, first, last, gaps, letters)
    : hidesInChinese(text, first, last, hiding, letters);
}

function hidesInChinese(
  text: NormalizedText,
  first: number,
  last: number,
  gaps: readonly Gap[],
  letters: number,
): boolean {
  let hasSpace = false;
  for (const { before, after } of gaps) {
    for (let at = before + 1; at < after; at += 1) {
      const symbol = text.symbols[at] ?? 0;
      if (PHRASE_ENDS.has(symbol)) return false;
      if (symbol === SPACE) hasSpace = true;
    }
  }
  if (!hasSpace || letters >= MIN_HIDDEN_LETTERS) return true;
  return isAlone(text, first - 1) && isAlone(text, last + 1);
}

function hidesInWords(
  text: NormalizedText,
  first: number,
  last: number,
  gaps: readonly Gap[],
  letters: number,
): boolean {
  if (letters < MIN_HIDDEN_LETTERS) return false;
  const pieces = piecesOf(text, first, last, gaps);
  if (pieces.every(({ runs }) => runs === 1)) return true;
  const hiding = gaps.filter(({ isJoint }) => !isJoint);
  const isSpaceOnly = hiding.every((gap) => hasOnly(text, gap, true));
  if (!isSpaceOnly) return hiding.every((gap) => hasOnly(text, gap, false)) && !followsInitial(text, first, pieces);
  if (letters < MIN_PARTED_LETTERS || followsInitial(text, first, pieces)) return false;
  return pieces.some(({ word, isParted }) => isParted && word.length < LONG_PIECE && !isShortWord(word));
}

type Piece = { word: string; runs: number; isParted: boolean };

/** The letters of the match between its gaps. A piece is parted when a gap that is no joint is beside it. */
function piecesOf(text: NormalizedText, first: number, last: number, gaps: readonly Gap[]): Piece[] {
  const pieces: Piece[] = [];
  let begin = first;
  let partedBefore = false;
  for (const gap of [...gaps, { before: last, after: last + 1, isJoint: true }]) {
    let word = "";
    let runs = 0;
    for (let at = begin; at <= gap.before; at += 1) {
      const symbol = text.symbols[at] ?? 0;
      if (at === begin || classOf(symbol) !== classOf(text.symbols[at - 1] ?? 0)) runs += 1;
      word += String.fromCharCode(symbol);
    }
    pieces.push({ word, runs, isParted: partedBefore || !gap.isJoint });
    partedBefore = !gap.isJoint;
    begin = gap.after;
  }
  return pieces;
}

function hasOnly(text: NormalizedText, { before, after }: Gap, spaces: boolean): boolean {
  for (let at = before + 1; at < after; at += 1) {
    if ((text.symbols[at] === SPACE) !== spaces) return false;
  }
  return true;
}

/** "let's hit", "U.S. hit": one letter that belongs to what stands before it. */
function followsInitial(text: NormalizedText, first: number, pieces: readonly Piece[]): boolean {
  if (first < 2 || (pieces[0]?.word.length ?? 0) !== 1) return false;
  return (
    text.symbols[first - 1] !== SPACE &&
    kindOf(text.symbols[first - 1] ?? 0) < kinds.digit &&
    kindOf(text.symbols[first - 2] ?? 0) >= kinds.digit
  );
}

function isAlone(text: NormalizedText, neighbour: number): boolean {
  return neighbour < 0 || neighbour >= text.length || kindOf(text.symbols[neighbour] ?? 0) < kinds.digit;
}
