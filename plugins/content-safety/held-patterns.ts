/** What at the end of a text may still become a pattern when more text follows. */
import type { NormalizedText } from "./normalize.ts";
import { isAddressPart } from "./email.ts";
import { mayBeIban } from "./iban.ts";
import { MAX_KEY, mayBeKey, openPrivateKey } from "./api-keys.ts";
import { isAlphanumeric, isDigit } from "./pattern.ts";

/** Local part, `@` and domain. */
const MAX_ADDRESS = 320;
/** 20 digits with two separators between any two, and what may stand before them. */
const MAX_NUMBER = 64;
/** 34 characters with a separator between any two. */
const MAX_IBAN = 70;

/** The first symbol, from `from` on, of what has to wait; the text's length for nothing. */
export function heldByPatterns(text: NormalizedText, from: number): number {
  const { length } = text;
  if (length <= from) return length;
  return Math.min(
    heldAddress(text, from),
    heldNumber(text, from),
    heldIban(text, from),
    heldKey(text, from),
    openPrivateKey(text, from) ?? length,
  );
}

function heldAddress({ ascii, length }: NormalizedText, from: number): number {
  let first = length;
  while (first > from && length - first < MAX_ADDRESS && isAddressPart(ascii[first - 1] ?? 0)) first -= 1;
  return first;
}

function heldNumber({ ascii, length }: NormalizedText, from: number): number {
  let held = length;
  let gap = 0;
  for (let at = length - 1; at >= from && length - at <= MAX_NUMBER; at -= 1) {
    const form = ascii[at] ?? 0;
    if (isDigit(form)) gap = 0;
    else if (!isNumberSign(form)) break;
    else gap += 1;
    // Before a number, a plus and a bracket; between its digits, up to two signs.
    if (gap > 3) break;
    if (isDigit(form) || form === 0x2b || form === 0x28) held = at;
  }
  return held;
}

function isNumberSign(ascii: number): boolean {
  return ascii === 0x20 || ascii === 0x2d || ascii === 0x2e || ascii === 0x28 || ascii === 0x29 || ascii === 0x2b;
}

function heldIban(text: NormalizedText, from: number): number {
  const { ascii, length } = text;
  let held = length;
  for (let at = length - 1; at >= from && length - at <= MAX_IBAN; at -= 1) {
    const form = ascii[at] ?? 0;
    if (!isAlphanumeric(form) && form !== 0x20 && form !== 0x2d) break;
    if (mayBeIban(text, at)) held = at;
  }
  return held;
}

function heldKey(text: NormalizedText, from: number): number {
  const { ascii, length } = text;
  let held = length;
  for (let at = length - 1; at >= from && length - at <= MAX_KEY; at -= 1) {
    const form = ascii[at] ?? 0;
    if (!isAlphanumeric(form) && form !== 0x2d && form !== 0x5f && form !== 0x2e) break;
    if (mayBeKey(text, at)) held = at;
  }
  return held;
}
