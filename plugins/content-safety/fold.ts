/**
 * What a character is to the scanners, whatever it was written as. Folding takes away case, width, marks, look-alikes
 * and presentation forms; what nobody sees is dropped. One code point at a time, so that no position is lost.
 */
import { homoglyphs, STROKE } from "./homoglyphs.ts";

/** `dropped`: nobody sees it. */
export const DROPPED = 1;
/** The character is several symbols: `expansionOf` has them. */
export const EXPANDED = 2;
const UNKNOWN = 0;

/** A mere stroke, as a symbol: a capital I and what looks like it. */
export const STROKE_SYMBOL = STROKE.charCodeAt(0);
export const SPACE = 0x20;
/** A sign that is no letter and that has no code of its own in what is scanned. */
const SIGN = 0x2022;
/** Pictographs get one symbol each, from here on, for those between their first and their last code point. */
const PICTOGRAPHS = 0xe800;
const FIRST_PICTOGRAPH = 0x1f300;
const LAST_PICTOGRAPH = 0x1faff;
const MAX_EXPANSION = 4;

/** How symbols behave beside each other. */
export const kinds = {
  /** Spaces, punctuation, signs: may stand between the letters of a hidden term. */
  separator: 0,
  apostrophe: 1,
  digit: 2,
  /** A letter of a script that puts spaces between words. */
  letter: 3,
  /** A character of a script without spaces between words, such as Chinese: a term may begin and end anywhere. */
  unspaced: 4,
} as const;
export type Kind = (typeof kinds)[keyof typeof kinds];

const NOBODY_SEES = /[\p{Default_Ignorable_Code_Point}\p{Cf}\p{Me}]|[\p{Mn}&&\p{Script=Inherited}]|[\p{Cc}--[\t-\r]]/v;
const SPACED_ALPHABET = /[\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}]/u;
const UNSPACED =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Bopomofo}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;
const LIGATURES: Readonly<Record<string, string>> = { ß: "ss", æ: "ae", œ: "oe", þ: "th" };
/** Letters in black squares and circles, and the halves of flags: 26 each. */
const BOXED_ALPHABETS = [0x1f130, 0x1f150, 0x1f170, 0x1f1e6] as const;

const folded = new Uint16Array(0x10000);
const asciiForms = new Uint8Array(0x10000);
const kindTable = new Uint8Array(0x10000).fill(255);
const expansions = new Map<number, string>();
const astral = new Map<number, { fold: number; ascii: number }>();

/** The symbol of a UTF-16 unit that is no surrogate, or `DROPPED`, or `EXPANDED`. */
export function foldUnit(unit: number): number {
  const known = folded[unit] ?? UNKNOWN;
  return known === UNKNOWN ? learnUnit(unit) : known;
}

/** The ASCII character that compatibility normalization makes of the unit, case kept; 0 for none. */
export function asciiOf(unit: number): number {
  if ((folded[unit] ?? UNKNOWN) === UNKNOWN) learnUnit(unit);
  return asciiForms[unit] ?? 0;
}

/** The same for a code point beyond the first plane. */
export function foldAstral(codePoint: number): { fold: number; ascii: number } {
  let known = astral.get(codePoint);
  if (known === undefined) {
    known = fold(codePoint);
    // A text may have any of a million code points; those that are in use are far fewer.
    if (astral.size < 20_000) astral.set(codePoint, known);
  }
  return known;
}

export function expansionOf(codePoint: number): string {
  return expansions.get(codePoint) ?? "";
}

export function kindOf(symbol: number): Kind {
  const known = kindTable[symbol] ?? 255;
  if (known !== 255) return known as Kind;
  const kind = findKind(symbol);
  kindTable[symbol] = kind;
  return kind;
}

function learnUnit(unit: number): number {
  const { fold: symbol, ascii } = fold(unit);
  folded[unit] = symbol;
  asciiForms[unit] = ascii;
  return symbol;
}

function fold(codePoint: number): { fold: number; ascii: number } {
  const text = String.fromCodePoint(codePoint);
  // A byte order mark is white space by JavaScript's `\s`, and nobody sees it.
  if (NOBODY_SEES.test(text)) return { fold: DROPPED, ascii: 0 };
  if (/\s/u.test(text)) return { fold: SPACE, ascii: codePoint < 128 ? codePoint : SPACE };
  const composed = text.normalize("NFKC");
  const ascii = composed.length === 1 && composed.charCodeAt(0) < 128 ? composed.charCodeAt(0) : 0;
  const symbols = symbolsOf(codePoint, text, composed);
  if (symbols.length === 1) return { fold: symbols.charCodeAt(0), ascii };
  if (symbols.length === 0) return { fold: DROPPED, ascii: 0 };
  expansions.set(codePoint, symbols);
  return { fold: EXPANDED, ascii };
}

function symbolsOf(codePoint: number, text: string, composed: string): string {
  const looksLike = homoglyphs.get(codePoint);
  if (looksLike !== undefined) return looksLike;
  for (const first of BOXED_ALPHABETS) {
    if (codePoint >= first && codePoint < first + 26) return String.fromCharCode(0x61 + codePoint - first);
  }
  if (codePoint >= FIRST_PICTOGRAPH && codePoint <= LAST_PICTOGRAPH) {
    return String.fromCharCode(PICTOGRAPHS + codePoint - FIRST_PICTOGRAPH);
  }
  const bare = SPACED_ALPHABET.test(composed) ? composed.normalize("NFKD").replaceAll(/\p{M}/gu, "") : composed;
  const symbols = Array.from(bare, (part) => simplest(part)).join("");
  if (symbols.length <= MAX_EXPANSION && !/^[\p{Co}\p{Cn}]$/u.test(text)) {
    return symbols.length > 1 && codePoint > 0xffff && /^[\p{S}\p{P}]$/u.test(text)
      ? String.fromCharCode(SIGN)
      : symbols;
  }
  return String.fromCharCode(SIGN);
}

/** One character without case and look-alikes. */
function simplest(part: string): string {
  if (part === "I") return STROKE;
  if (/\s/u.test(part)) return " ";
  const small = part.toLowerCase().replaceAll(/\p{Mn}/gu, "");
  return (
    LIGATURES[small] ?? homoglyphs.get(part.codePointAt(0) ?? 0) ?? homoglyphs.get(small.codePointAt(0) ?? 0) ?? small
  );
}

function findKind(symbol: number): Kind {
  if (symbol === STROKE_SYMBOL) return kinds.letter;
  // Half of a character beyond the first plane that no table folds: nearly all of those are Chinese.
  if (symbol >= 0xd800 && symbol <= 0xdfff) return kinds.unspaced;
  const text = String.fromCharCode(symbol);
  if (/['’ʼ`´‘]/u.test(text)) return kinds.apostrophe;
  if (/\p{Nd}/u.test(text)) return kinds.digit;
  if (UNSPACED.test(text)) return kinds.unspaced;
  return /[\p{L}\p{M}\p{N}]/u.test(text) ? kinds.letter : kinds.separator;
}
