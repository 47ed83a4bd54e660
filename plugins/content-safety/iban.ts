/** International bank account numbers (ISO 13616): the country's length and the remainder by 97. */
import type { NormalizedText } from "./normalize.ts";
import { isAlpha, isAlphanumeric, isDigit } from "./pattern.ts";
import type { PatternMatch } from "./pattern.ts";

const LENGTHS: Readonly<Record<string, number>> = Object.fromEntries(
  (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 " +
    "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 " +
    "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 " +
    "PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
  )
    .split(" ")
    .map((entry) => [entry.slice(0, 2), Number(entry.slice(2))]),
);

export function scanIbans(text: NormalizedText, from: number, add: (match: PatternMatch) => void): void {
  const { ascii, length } = text;
  for (let at = from; at + 3 < length; at += 1) {
    if (!isDigit(ascii[at + 2] ?? 0) || !isDigit(ascii[at + 3] ?? 0)) continue;
    if (!isAlpha(ascii[at] ?? 0) || !isAlpha(ascii[at + 1] ?? 0)) continue;
    if (at > 0 && isAlphanumeric(ascii[at - 1] ?? 0)) continue;
    const last = endOfIban(text, at);
    if (last === null) continue;
    add({ pattern: "iban", rule: "iban", first: at, last });
    at = last;
  }
}

function endOfIban({ ascii, length }: NormalizedText, at: number): number | null {
  const country = String.fromCharCode(ascii[at] ?? 0, ascii[at + 1] ?? 0).toUpperCase();
  const wanted = Object.hasOwn(LENGTHS, country) ? (LENGTHS[country] ?? 0) : 0;
  if (wanted === 0) return null;
  let iban = "";
  let next = at;
  while (next < length && iban.length < wanted) {
    const form = ascii[next] ?? 0;
    if (isAlphanumeric(form)) iban += String.fromCharCode(form);
    else if ((form !== 0x20 && form !== 0x2d) || !isAlphanumeric(ascii[next - 1] ?? 0)) return null;
    next += 1;
  }
  if (iban.length < wanted || (next < length && isAlphanumeric(ascii[next] ?? 0))) return null;
  return remainderBy97(iban.toUpperCase()) === 1 ? next - 1 : null;
}

/** Whether an account number may begin at `at` that goes on behind the text. */
export function mayBeIban({ ascii, length }: NormalizedText, at: number): boolean {
  if (at > 0 && isAlphanumeric(ascii[at - 1] ?? 0)) return false;
  const country = String.fromCharCode(ascii[at] ?? 0, ascii[at + 1] ?? 0).toUpperCase();
  if (at + 1 < length && !Object.hasOwn(LENGTHS, country)) return false;
  if (!isAlpha(ascii[at] ?? 0)) return false;
  return [at + 2, at + 3].every((place) => place >= length || isDigit(ascii[place] ?? 0));
}

export function remainderBy97(iban: string): number {
  let remainder = 0;
  for (const character of iban.slice(4) + iban.slice(0, 4)) {
    const value = Number.parseInt(character, 36);
    remainder = (remainder * (value > 9 ? 100 : 10) + value) % 97;
  }
  return remainder;
}
