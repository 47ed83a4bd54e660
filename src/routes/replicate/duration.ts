/** Durations as Replicate's `Cancel-After` writes them: `30s`, `5m`, `1h30m45s`, or a number of seconds. */

const FORM = /^(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?$/i;
const SECONDS = /^\d+(?:\.\d+)?$/;

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
