/** Covers what was found. */
import type { Found } from "./rules.ts";

const COVER = "*";

/** `text` from `start` to `end`, with every visible character of what is to be masked replaced. */
export function mask(text: string, start: number, end: number, found: readonly Found[]): string {
  const covered = found.filter(({ action }) => action === "mask").sort((left, right) => left.start - right.start);
  let masked = "";
  let at = start;
  for (const one of covered) {
    const from = Math.max(at, one.start);
    const to = Math.min(end, one.end);
    if (to <= from) continue;
    masked += text.slice(at, from) + COVER.repeat(Array.from(text.slice(from, to)).length);
    at = to;
  }
  return masked + text.slice(at, Math.max(at, end));
}
