/** Words that stand in no text: those below `BLOCKED` are refused, the others covered. */
const CONSONANTS = "bcdfghjklm";
const BLOCKED = 20_000;
const MASKED = 100;

/** Any of them, also with dots between its letters, in any case. */
export const FORBIDDEN = /(?:[bcdfghjklm]\.?a\.?){5}x/i;

/** `number` has five digits at most. The models have the same function. */
export function wordOf(number: number): string {
  const digits = String(number).padStart(5, "0").split("");
  return `${digits.map((digit) => `${CONSONANTS[Number(digit)]}a`).join("")}x`;
}

export const lists = [
  { name: "refused", category: "insult", action: "block", terms: wordsFrom(0, BLOCKED) },
  { name: "covered", category: "mild", action: "mask", terms: wordsFrom(BLOCKED, MASKED) },
];

export const anyBlocked = (random: number): number => Math.floor(random * BLOCKED);
export const anyMasked = (random: number): number => BLOCKED + Math.floor(random * MASKED);

function wordsFrom(first: number, count: number): string[] {
  return Array.from({ length: count }, (_, index) => wordOf(first + index));
}
