/**
 * JSON whose numbers keep every digit. JavaScript's numbers hold 15 digits for sure; Redis counts to 2^63, and clients
 * in other languages send longer numbers still. A number that JavaScript would change is a raw JSON value here, which
 * `JSON.stringify` writes as it was.
 */
declare global {
  // oxlint-disable-next-line typescript/consistent-type-definitions -- only an interface merges
  interface JSON {
    /** ES2026, "JSON.parse source text access". `text` is one number, text, boolean or null. */
    rawJSON(text: string): object;
    parse(text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
  }
}

/** Digits that JavaScript's numbers keep in any case. */
const SAFE_DIGITS = 15;
/**
 * What a number must look like in the text before JavaScript may change it; a reviver makes parsing several times
 * slower.
 */
const MAYBE_INEXACT = /[\d.]{16}|\de\+?\d{3}/i;

/** Throws a `SyntaxError`. */
export function parseExactly(text: string): unknown {
  if (!MAYBE_INEXACT.test(text)) return JSON.parse(text);
  return JSON.parse(text, (_key, value, { source }) =>
    typeof value !== "number" || source === undefined || isKept(value, source) ? value : JSON.rawJSON(source),
  );
}

/** An integer's JSON value, from its digits. */
export function exactInteger(digits: string): number | object {
  const value = Number(digits);
  return Number.isSafeInteger(value) ? value : JSON.rawJSON(digits);
}

function isKept(value: number, source: string): boolean {
  return String(value) === source || (source.length <= SAFE_DIGITS && Number.isFinite(value));
}
