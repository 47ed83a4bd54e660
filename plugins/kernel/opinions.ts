/** What a service or a model says of a text or a picture, and the verdict that it makes. */
import * as z from "zod";
import type { Finding, Verdict } from "./phases.ts";
import { wholeCharacters } from "./text-window.ts";

/** Categories only of what was flagged. */
export type Opinion = { flagged: boolean; categories: string[] };

const MAX_CATEGORIES = 16;
const MAX_NAME = 64;
const MAX_RULE = 100;

/** Categories come as a list of names, or as an object whose values say whether each holds. */
export const OpinionSchema = z
  .looseObject({
    flagged: z.boolean(),
    categories: z
      .union([z.array(z.string()), z.record(z.string(), z.boolean().nullable())])
      .nullable()
      .default([]),
  })
  .transform(({ flagged, categories }): Opinion => {
    const named = Array.isArray(categories)
      ? categories
      : Object.entries(categories ?? {}).flatMap(([name, holds]) => (holds === true ? [name] : []));
    return { flagged, categories: flagged ? named.slice(0, MAX_CATEGORIES).map(shortName) : [] };
  });

/** Categories are recorded with predictions: what a service makes of them must not be a text. */
function shortName(category: string): string {
  return category.replaceAll(/[^\w/.-]+/g, "-").slice(0, MAX_NAME) || "flagged";
}

/** The findings of all opinions, and whether one of them refuses: flagged for a category that isn't allowed. */
export type Judged = { findings: Finding[]; isRefused: boolean };

export function judgedOf(opinions: readonly Opinion[], allowedCategories: readonly string[], rule: string): Judged {
  const flagged = opinions.filter((opinion) => opinion.flagged).map(namesOf);
  const categories = [...new Set(flagged.flat())];
  return {
    findings: categories.map((category) => ({ category, rule: rule.slice(0, MAX_RULE) })),
    isRefused: flagged.some((names) => names.some((name) => !allowedCategories.includes(name))),
  };
}

/** `message`: what the caller is told of a refusal. */
export function verdictOf<Subject>(
  { findings, isRefused }: Judged,
  message: string,
  change: { subject?: Subject; held?: string | null },
): Verdict<Subject> {
  if (isRefused) return { verdict: "reject", code: "rejected_by_policy", message, findings };
  return { verdict: "continue", ...change, ...(findings.length === 0 ? {} : { findings }) };
}

function namesOf({ categories }: Opinion): string[] {
  return categories.length === 0 ? ["flagged"] : categories;
}

/**
 * A text in pieces of `length` characters. Each begins with the last `overlap` of the piece before, or half of it. A
 * text of white space alone has none.
 */
export function piecesOf(text: string, length: number, overlap: number): string[] {
  if (text.trim() === "") return [];
  const pieces: string[] = [];
  const shared = Math.min(overlap, length >> 1);
  for (let at = 0; at < text.length;) {
    const end = at + length >= text.length ? text.length : wholeCharacters(text, at + length);
    pieces.push(text.slice(at, end));
    if (end === text.length) break;
    at = wholeCharacters(text, Math.max(at + 1, end - shared));
  }
  return pieces;
}
