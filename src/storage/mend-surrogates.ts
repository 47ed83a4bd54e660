/**
 * What `wellFormed` does to a JSON value, for JSON text that comes in pieces: an escape of half a surrogate pair
 * becomes `\ufffd`.
 */

const BACKSLASH = 0x5c;
const U = 0x75;
const ESCAPE_BYTES = 6;
/** `fffd` */
const REPLACEMENT = [0x66, 0x66, 0x66, 0x64];

const isHigh = (code: number) => code >= 0xd800 && code <= 0xdbff;
const isLow = (code: number) => code >= 0xdc00 && code <= 0xdfff;

/** `pieces` are of valid JSON in UTF-8, which has no half pair but as an escape; they are written to. */
export async function* mendSurrogates(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let held: Uint8Array = new Uint8Array();
  for await (const piece of pieces) {
    const bytes = held.length === 0 ? piece : joined(held, piece);
    const end = mend(bytes, false);
    if (end > 0) yield bytes.subarray(0, end);
    held = bytes.slice(end);
  }
  mend(held, true);
  if (held.length > 0) yield held;
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

/** Mends `bytes`, as far as it can without what follows; answers how far. */
function mend(bytes: Uint8Array, isLast: boolean): number {
  let at = bytes.indexOf(BACKSLASH);
  while (at >= 0) {
    const length = escapeLength(bytes, at, isLast);
    if (length === null) return at;
    at = bytes.indexOf(BACKSLASH, at + length);
  }
  return bytes.length;
}

/** Of the escape, or the pair of escapes, that begins at `at`; null: what follows decides. */
function escapeLength(bytes: Uint8Array, at: number, isLast: boolean): number | null {
  const here = codeAt(bytes, at);
  if (here === "cut" && !isLast) return null;
  if (typeof here !== "number") return 2;
  const next = isHigh(here) ? codeAt(bytes, at + ESCAPE_BYTES) : null;
  if (next === "cut" && !isLast) return null;
  if (typeof next === "number" && isLow(next)) return 2 * ESCAPE_BYTES;
  if (isHigh(here) || isLow(here)) bytes.set(REPLACEMENT, at + 2);
  return ESCAPE_BYTES;
}

/** The code unit of the escape at `at`; null when none is there, `cut` when its rest has not come. */
function codeAt(bytes: Uint8Array, at: number): number | "cut" | null {
  const [slash = BACKSLASH, letter = U] = bytes.subarray(at, at + 2);
  if (slash !== BACKSLASH || letter !== U) return null;
  const escape = bytes.subarray(at, at + ESCAPE_BYTES);
  return escape.length < ESCAPE_BYTES ? "cut" : parseInt(String.fromCharCode(...escape.subarray(2)), 16);
}
