/**
 * What is told by its digits: payment cards (ISO/IEC 7812, Luhn), Chinese resident ids (GB 11643, ISO 7064 MOD 11-2)
 * and telephone numbers (E.164; Chinese mobile numbers; North American ones that are written as such).
 */
import type { NormalizedText } from "./normalize.ts";
import { isAlphanumeric, isDigit } from "./pattern.ts";
import type { PatternMatch } from "./pattern.ts";

const MAX_DIGITS = 20;
const SPACE = 0x20;
const PLUS = 0x2b;
const OPEN = 0x28;
const CLOSE = 0x29;

/** Digits, and where they stand. */
type DigitRun = { digits: string; at: number[]; separators: number; hasPlus: boolean; isBracketed: boolean };

export function scanDigits(text: NormalizedText, from: number, add: (match: PatternMatch) => void): void {
  const { ascii, length } = text;
  let at = from;
  while (at < length) {
    if (!isDigit(ascii[at] ?? 0) || (at > 0 && isAlphanumeric(ascii[at - 1] ?? 0))) {
      at += 1;
      continue;
    }
    const match = matchAt(text, at, from);
    if (match === null) {
      while (at < length && isDigit(ascii[at] ?? 0)) at += 1;
    } else {
      add(match);
      at = match.last + 1;
    }
  }
}

function matchAt(text: NormalizedText, at: number, from: number): PatternMatch | null {
  const groups = readGroups(text, at, from);
  return matchResident(text, groups) ?? matchCard(text, groups) ?? matchPhone(text, groups);
}

/** The digits from `at` on, in groups that one space, hyphen, dot or bracket parts. */
function readGroups(text: NormalizedText, at: number, from: number): DigitRun {
  const { ascii, length } = text;
  const before = at > from ? (ascii[at - 1] ?? 0) : 0;
  const isBracketed = before === OPEN;
  const plusAt = isBracketed ? at - 2 : at - 1;
  const number: DigitRun = {
    digits: "",
    at: [],
    separators: 0,
    hasPlus: plusAt >= from && ascii[plusAt] === PLUS,
    isBracketed,
  };
  let gap = 0;
  for (let next = at; next < length && number.digits.length < MAX_DIGITS; next += 1) {
    const form = ascii[next] ?? 0;
    if (isDigit(form)) {
      if (gap > 0) number.separators += 1;
      gap = 0;
      number.digits += String.fromCharCode(form);
      number.at.push(next);
    } else if (form === SPACE || form === 0x2d || form === 0x2e || form === CLOSE || form === OPEN) {
      gap += 1;
      if (gap > 2) break;
    } else break;
  }
  return number;
}

/** The match of the first `count` digits; null when more digits or letters stand beside them. */
function take(
  text: NormalizedText,
  number: DigitRun,
  count: number,
  pattern: PatternMatch["pattern"],
  rule: string,
): PatternMatch | null {
  const first = number.at[0] ?? 0;
  const last = number.at[count - 1] ?? 0;
  return isAlphanumeric(text.ascii[last + 1] ?? 0) && last + 1 < text.length ? null : { pattern, rule, first, last };
}

/** The first digits of the brands, and how long their numbers are. */
function brandOf(digits: string, length: number): string | null {
  const [one, two, three, four] = [1, 2, 3, 4].map((count) => Number(digits.slice(0, count)));
  if (one === undefined || two === undefined || three === undefined || four === undefined) return null;
  if (one === 4 && (length === 13 || length === 16 || length === 19)) return "visa";
  if (((two >= 51 && two <= 55) || (four >= 2221 && four <= 2720)) && length === 16) return "mastercard";
  if ((two === 34 || two === 37) && length === 15) return "amex";
  if (two === 62 && length >= 16) return "unionpay";
  if ((four === 6011 || two === 65 || (three >= 644 && three <= 649)) && length >= 16) return "discover";
  if (four >= 3528 && four <= 3589 && length >= 16) return "jcb";
  if (((three >= 300 && three <= 305) || two === 36 || two === 38) && length >= 14 && length <= 19) return "diners";
  return null;
}

function matchCard(text: NormalizedText, number: DigitRun): PatternMatch | null {
  for (let count = Math.min(19, number.digits.length); count >= 13; count -= 1) {
    if (!endsGroup(number, count)) continue;
    const digits = number.digits.slice(0, count);
    const brand = brandOf(digits, count);
    if (brand === null || !passesLuhn(digits)) continue;
    const match = take(text, number, count, "card", brand);
    if (match !== null) return match;
  }
  return null;
}

/** Whether no digit follows the first `count` at once. */
function endsGroup(number: DigitRun, count: number): boolean {
  const last = number.at[count - 1] ?? 0;
  return number.at[count] !== last + 1;
}

export function passesLuhn(digits: string): boolean {
  let sum = 0;
  for (let at = 0; at < digits.length; at += 1) {
    const digit = Number(digits[digits.length - 1 - at]);
    const weighted = at % 2 === 0 ? digit : digit * 2;
    sum += weighted > 9 ? weighted - 9 : weighted;
  }
  return sum % 10 === 0;
}

const RESIDENT_WEIGHTS = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
const RESIDENT_CHECKS = "10X98765432";

/** 17 digits and a check character, which may be an X. */
function matchResident(text: NormalizedText, number: DigitRun): PatternMatch | null {
  if (number.digits.length < 17) return null;
  const first = number.at[0] ?? 0;
  const seventeenth = number.at[16] ?? 0;
  let last = seventeenth + 1;
  if ((text.ascii[last] ?? 0) === SPACE && last + 1 < text.length) last += 1;
  const check = last < text.length ? String.fromCharCode(text.ascii[last] ?? 0).toUpperCase() : "";
  const body = number.digits.slice(0, 17);
  if (!isResidentId(body + check)) return null;
  if (last + 1 < text.length && isAlphanumeric(text.ascii[last + 1] ?? 0)) return null;
  return { pattern: "resident_id", rule: "cn", first, last };
}

/** Province, a date of birth that exists, and the check character. */
export function isResidentId(id: string): boolean {
  if (!/^[1-8]\d{16}[\dX]$/.test(id)) return false;
  const [year, month, day] = [Number(id.slice(6, 10)), Number(id.slice(10, 12)), Number(id.slice(12, 14))];
  if (year < 1800 || year > 2199 || month < 1 || month > 12) return false;
  if (day < 1 || day > new Date(Date.UTC(year, month, 0)).getUTCDate()) return false;
  const sum = RESIDENT_WEIGHTS.reduce((total, weight, at) => total + weight * Number(id[at]), 0);
  return RESIDENT_CHECKS[sum % 11] === id[17];
}

function matchPhone(text: NormalizedText, number: DigitRun): PatternMatch | null {
  const { digits } = number;
  if (number.hasPlus) {
    for (let count = Math.min(15, digits.length); count >= 8; count -= 1) {
      if (!endsGroup(number, count) || digits.startsWith("0")) continue;
      const match = take(text, number, count, "phone", "e164");
      if (match === null) continue;
      return { ...match, first: match.first - (number.isBracketed ? 2 : 1) };
    }
    return null;
  }
  if (/^(?:86)?1[3-9]\d{9}/.test(digits)) {
    const count = digits.startsWith("86") ? 13 : 11;
    return endsGroup(number, count) ? take(text, number, count, "phone", "cn") : null;
  }
  const isWritten = number.isBracketed || number.separators >= 2;
  if (isWritten && /^1?[2-9]\d\d[2-9]\d{6}/.test(digits)) return matchNorthAmerican(text, number);
  return null;
}

/** "(212) 555-0123", "212-555-0123", "1 212 555 0123": groups of three, three and four, and no more of them. */
function matchNorthAmerican(text: NormalizedText, number: DigitRun): PatternMatch | null {
  const offset = number.digits.startsWith("1") ? 1 : 0;
  const count = offset + 10;
  if (![3, 6, 10].every((end) => endsGroup(number, offset + end))) return null;
  const behind = (number.at[count - 1] ?? 0) + 1;
  if (number.at[count] !== undefined && text.ascii[behind] !== SPACE) return null;
  const match = take(text, number, count, "phone", "nanp");
  return match === null || !number.isBracketed ? match : { ...match, first: match.first - 1 };
}
