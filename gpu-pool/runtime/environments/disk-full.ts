/** How a disk that is full shows itself: to this process, and in the words of uv, pip and what they run. */
const WORDS = /No space left on device|\bENOSPC\b|Disk quota exceeded|\bEDQUOT\b|os error (28|122)\b/i;

export function isDiskFull(what: unknown): boolean {
  if (typeof what === "string") return WORDS.test(what);
  return what instanceof Error && WORDS.test(`${"code" in what ? String(what.code) : ""} ${what.message}`);
}
