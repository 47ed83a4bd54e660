/** E-mail addresses as people write them: RFC 5321's lengths, and a top-level domain of letters. */
import type { NormalizedText } from "./normalize.ts";
import { isAlpha, isAlphanumeric } from "./pattern.ts";
import type { PatternMatch } from "./pattern.ts";

const MAX_LOCAL = 64;
const MAX_DOMAIN = 255;
const AT = 0x40;
const DOT = 0x2e;
const HYPHEN = 0x2d;
const LOCAL_SIGNS = new Set(Array.from(".!#$%&'*+/=?^_`{|}~-", (sign) => sign.charCodeAt(0)));

/** All that an address is made of: what ends in such characters may go on being one. */
export function isAddressPart(ascii: number): boolean {
  return isAlphanumeric(ascii) || ascii === AT || LOCAL_SIGNS.has(ascii);
}

export function scanEmails(text: NormalizedText, from: number, add: (match: PatternMatch) => void): void {
  const { ascii, length } = text;
  for (let at = from; at < length; at += 1) {
    if (ascii[at] !== AT) continue;
    const first = beginOfLocal(ascii, at, from);
    const last = endOfDomain(ascii, at, length);
    if (first === null || last === null) continue;
    add({ pattern: "email", rule: "email", first, last });
    at = last;
  }
}

function beginOfLocal(ascii: Uint8Array, at: number, from: number): number | null {
  let first = at;
  while (first > from && at - first < MAX_LOCAL) {
    const form = ascii[first - 1] ?? 0;
    if (!isAlphanumeric(form) && !LOCAL_SIGNS.has(form)) break;
    first -= 1;
  }
  while (first < at && !isAlphanumeric(ascii[first] ?? 0) && ascii[first] !== 0x5f) first += 1;
  return first === at ? null : first;
}

/** The last symbol of the longest domain behind the `@`: labels, and at least two letters behind the last dot. */
function endOfDomain(ascii: Uint8Array, at: number, length: number): number | null {
  let last: number | null = null;
  let labelStart = at + 1;
  let dots = 0;
  let letters = 0;
  for (let next = at + 1; next <= length && next - at <= MAX_DOMAIN; next += 1) {
    const form = next < length ? (ascii[next] ?? 0) : 0;
    if (isAlphanumeric(form) || (form === HYPHEN && next > labelStart)) {
      letters = isAlpha(form) ? letters + 1 : Number.NEGATIVE_INFINITY;
      continue;
    }
    if (next === labelStart) break;
    if (dots > 0 && letters >= 2) last = next - 1;
    if (form !== DOT) break;
    dots += 1;
    letters = 0;
    labelStart = next + 1;
  }
  return last;
}
