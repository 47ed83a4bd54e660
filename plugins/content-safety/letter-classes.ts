/**
 * Symbols that may stand for each other are one class: the automaton runs over classes, and what it finds is then
 * compared symbol by symbol.
 */
import { kindOf, kinds, STROKE_SYMBOL } from "./fold.ts";

/** The letters that a digit, a sign or a stroke may mean. */
const MEANINGS: Readonly<Record<string, string>> = {
  "0": "o",
  "1": "il",
  "3": "e",
  "4": "a",
  "5": "s",
  "7": "t",
  "!": "il",
  "|": "il",
  "@": "a",
  $: "s",
  "+": "t",
  "€": "e",
  "£": "l",
  "¢": "c",
  "¥": "y",
};

const classTable = new Uint16Array(0x10000).map((_, symbol) => symbol);
const meaningTable = new Map<number, string>([[STROKE_SYMBOL, "il"]]);
classTable[STROKE_SYMBOL] = "i".charCodeAt(0);
classTable["l".charCodeAt(0)] = "i".charCodeAt(0);
for (const [symbol, letters] of Object.entries(MEANINGS)) {
  meaningTable.set(symbol.charCodeAt(0), letters);
  classTable[symbol.charCodeAt(0)] = classTable[letters.charCodeAt(0)] ?? 0;
}

/** The class of a symbol: that of the letter that it may mean, or itself. */
export function classOf(symbol: number): number {
  return classTable[symbol] ?? symbol;
}

/** True for a sign that may be read as a letter (`sh!t`), and that may as well stand between letters (`s!h!i!t`). */
export function isLetterSign(symbol: number): boolean {
  return meaningTable.has(symbol) && kindOf(symbol) === kinds.separator;
}

/** How a symbol of a text can be the letter of a term: not at all, as itself, or in disguise. */
export type Likeness = "none" | "same" | "disguised";

export function likenessOf(symbol: number, letter: number): Likeness {
  if (symbol === letter) return "same";
  const meanings = meaningTable.get(symbol);
  if (meanings === undefined || !meanings.includes(String.fromCharCode(letter))) return "none";
  // A capital I is an i first of all.
  return symbol === STROKE_SYMBOL && letter === 0x69 ? "same" : "disguised";
}
