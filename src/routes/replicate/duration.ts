/** Durations as Replicate's `Cancel-After` writes them: `30s`, `5m`, `1h30m45s`, or a number of seconds. */

const FORM = /^(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?$/i;
const SECONDS = /^\d+(?:\.\d+)?$/;

const NUMBER = "[0-9]+(?:\\.[0-9]+)?";
const [HOURS, MINUTES, WHOLE_SECONDS] = ["[hH]", "[mM]", "[sS]"].map((unit) => `${NUMBER}${unit}`);
/**
 * What is a duration, as one pattern that says so to tools; hours, minutes and seconds in this order, at least one of
 * them.
 */
export const DURATION = new RegExp(
  `^(?:${NUMBER}|${HOURS}(?:${MINUTES})?(?:${WHOLE_SECONDS})?|${MINUTES}(?:${WHOLE_SECONDS})?|${WHOLE_SECONDS})$`,
);

/** The duration in milliseconds, or null when `text` is none. */
export function parseDurationMs(text: string): number | null {
  const trimmed = text.trim();
  if (trimmed === "" || trimmed.length > 64) return null;
  if (SECONDS.test(trimmed)) return Math.round(Number(trimmed) * 1000);
  const match = FORM.exec(trimmed);
  if (match === null) return null;
  const [hours, minutes, seconds] = [match[1], match[2], match[3]].map((part) => Number(part ?? 0));
  return Math.round(((hours ?? 0) * 3600 + (minutes ?? 0) * 60 + (seconds ?? 0)) * 1000);
}
