/**
 * Halving: a batch that raised or died runs again as two halves until the culprit is alone. With n members
 * the culprit is alone after at most ⌈log2 n⌉ rounds, and the innocent finish on the way.
 */

/** Splits `members` (two or more) into two halves, the first the larger. */
export function halve<T>(members: readonly T[]): [T[], T[]] {
  const middle = Math.ceil(members.length / 2);
  return [members.slice(0, middle), members.slice(middle)];
}
