/**
 * What the scanners of patterns share. They go over a text once, from left to right, and look at each character a
 * bounded number of times.
 */
import type { NormalizedText } from "./normalize.ts";

/** The categories of what is found by pattern. */
export const patternNames = ["card", "resident_id", "iban", "email", "phone", "api_key"] as const;
export type PatternName = (typeof patternNames)[number];

/** Symbols `first` to `last` of the text. `rule` says more than the category where there is more to say. */
export type PatternMatch = { pattern: PatternName; rule: string; first: number; last: number };

export type PatternScanner = (text: NormalizedText, from: number, add: (match: PatternMatch) => void) => void;

export function isDigit(ascii: number): boolean {
  return ascii >= 0x30 && ascii <= 0x39;
}

export function isUpper(ascii: number): boolean {
  return ascii >= 0x41 && ascii <= 0x5a;
}

export function isAlpha(ascii: number): boolean {
  return isUpper(ascii & ~0x20);
}

export function isAlphanumeric(ascii: number): boolean {
  return isDigit(ascii) || isAlpha(ascii);
}
