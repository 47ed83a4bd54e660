/**
 * A text as the scanners see it: one symbol for each character that anybody sees, and where it came from. Of a symbol
 * that is repeated, `MAX_REPEATED` are kept.
 */
import { asciiOf, DROPPED, EXPANDED, expansionOf, foldAstral, foldUnit } from "./fold.ts";

const MAX_REPEATED = 32;
/**
 * Texts of so many units are written over each other: most are short, and three arrays cost more than their reading.
 */
const SHORT_UNITS = 1024;

/**
 * `symbols[k]` is what the scanners compare; `ascii[k]` the ASCII character with its case, 0 for others; `starts[k]`
 * the place in the text, in UTF-16 units. Only the first `length` of each count; `units` of the text were read.
 */
export type NormalizedText = {
  readonly text: string;
  readonly symbols: Uint16Array;
  readonly ascii: Uint8Array;
  readonly starts: Uint32Array;
  readonly length: number;
  readonly units: number;
};

type Arrays = { symbols: Uint16Array; ascii: Uint8Array; starts: Uint32Array };

const short = arraysOf(SHORT_UNITS);
/** So much of `short` isn't 0. */
let written = 0;

/**
 * Folds `text`. Unless it `isWhole`, half of a surrogate pair at its end is left for what follows. What is answered for
 * a short text holds until the next call; behind its `length` all is 0.
 */
export function normalize(text: string, isWhole = true): NormalizedText {
  const units = isWhole || !endsInHalf(text) ? text.length : text.length - 1;
  const isShort = units <= SHORT_UNITS;
  let { symbols, ascii, starts } = isShort ? short : arraysOf(units);
  let length = 0;
  let repeated = 0;

  /** Characters that are several symbols may need more room than the text has units. */
  const expand = (codePoint: number, at: number): void => {
    const parts = expansionOf(codePoint);
    const needed = length + parts.length + (units - at);
    if (needed > symbols.length) {
      const room = needed + (needed >> 3);
      symbols = grown(symbols, new Uint16Array(room));
      ascii = grown(ascii, new Uint8Array(room));
      starts = grown(starts, new Uint32Array(room));
    }
    for (let part = 0; part < parts.length; part += 1) {
      symbols[length] = parts.charCodeAt(part);
      ascii[length] = 0;
      starts[length] = at;
      length += 1;
    }
  };

  for (let at = 0; at < units; at += 1) {
    const unit = text.charCodeAt(at);
    let symbol: number;
    let form: number;
    let codePoint = unit;
    const begin = at;
    if (unit >= 0xd800 && unit < 0xdc00 && isLowHalf(text.charCodeAt(at + 1))) {
      codePoint = ((unit - 0xd800) << 10) + (text.charCodeAt(at + 1) - 0xdc00) + 0x10000;
      const known = foldAstral(codePoint);
      symbol = known.fold;
      form = known.ascii;
      at += 1;
    } else {
      symbol = foldUnit(unit);
      form = asciiOf(unit);
    }
    if (symbol === DROPPED) continue;
    if (symbol === EXPANDED) {
      expand(codePoint, begin);
      repeated = 0;
      continue;
    }
    if (length > 0 && symbols[length - 1] === symbol) {
      repeated += 1;
      if (repeated >= MAX_REPEATED) continue;
    } else repeated = 0;
    symbols[length] = symbol;
    ascii[length] = form;
    starts[length] = begin;
    length += 1;
  }
  if (isShort) clearBehind(symbols === short.symbols ? length : 0);
  return { text, symbols, ascii, starts, length, units };
}

function arraysOf(units: number): Arrays {
  return { symbols: new Uint16Array(units), ascii: new Uint8Array(units), starts: new Uint32Array(units) };
}

/** What a longer text before has left behind; of one that outgrew them, all. */
function clearBehind(length: number): void {
  const until = length === 0 ? SHORT_UNITS : written;
  if (length < until) {
    short.symbols.fill(0, length, until);
    short.ascii.fill(0, length, until);
    short.starts.fill(0, length, until);
  }
  written = length;
}

/** Where the character of symbol `index` ends in the text. */
export function endOf({ text, starts }: NormalizedText, index: number): number {
  const start = starts[index] ?? 0;
  const unit = text.charCodeAt(start);
  return unit >= 0xd800 && unit < 0xdc00 && isLowHalf(text.charCodeAt(start + 1)) ? start + 2 : start + 1;
}

function endsInHalf(text: string): boolean {
  const last = text.charCodeAt(text.length - 1);
  return last >= 0xd800 && last < 0xdc00;
}

function isLowHalf(unit: number): boolean {
  return unit >= 0xdc00 && unit < 0xe000;
}

function grown<Numbers extends Uint8Array | Uint16Array | Uint32Array>(from: Numbers, to: Numbers): Numbers {
  to.set(from);
  return to;
}
