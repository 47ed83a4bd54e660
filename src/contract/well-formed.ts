/**
 * Lone surrogates: half of a pair that is one character, such as what is left of an emoji that was cut. JSON can write
 * them (`"\ud83d"`), UTF-8 can't, and parsers other than JavaScript's refuse a whole answer for one of them.
 * https://www.rfc-editor.org/rfc/rfc8259#section-8.2
 */
import type { Json } from "./prediction.ts";

/** A surrogate in JSON text, be it of a pair or alone. */
const ESCAPED_SURROGATE = /\\u[dD][89a-fA-F]/;

/**
 * Whether what this JSON text stands for may hold a lone surrogate. Most texts hold no surrogate that is escaped, which
 * is soon seen.
 */
export function mayHoldLoneSurrogate(text: string): boolean {
  return ESCAPED_SURROGATE.test(text) || !text.isWellFormed();
}

/**
 * `JSON.parse` with U+FFFD in place of lone surrogates. Throws `SyntaxError`, and `RangeError` for what nests too
 * deeply.
 */
export function parseWellFormed(text: string): unknown {
  const value: unknown = JSON.parse(text);
  return mayHoldLoneSurrogate(text) ? wellFormed(value as Json) : value;
}

/** A JSON value with U+FFFD in place of lone surrogates, in its keys too. */
export function wellFormed(value: Json): Json {
  if (typeof value === "string") return value.toWellFormed();
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(wellFormed);
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key.toWellFormed(), wellFormed(inner)]));
}

/** The path to the first text of a JSON value, or key, that holds a lone surrogate; null: none does. */
export function loneSurrogateIn(value: Json): string[] | null {
  if (typeof value === "string") return value.isWellFormed() ? null : [];
  if (value === null || typeof value !== "object") return null;
  for (const [key, inner] of Object.entries(value)) {
    const path = key.isWellFormed() ? loneSurrogateIn(inner) : [];
    if (path !== null) return [key.toWellFormed(), ...path];
  }
  return null;
}
