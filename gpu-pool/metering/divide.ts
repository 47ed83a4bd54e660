/** Divides time among holders by their weights: in whole microseconds that add up exactly. */

export type Holder = {
  /** Above 0. */
  readonly weight: number;
  /** What it has, in microseconds. */
  us: number;
  /** What it is short of its exact share so far: less than a microsecond or two, and negative where it has more. */
  owedUs: number;
};

/**
 * Gives each of `holders` its share of `us`, a whole number. The largest remainders get the microseconds that rounding
 * leaves; what a holder misses by that counts in the next division, so that many short ones favour nobody. `leftUs`:
 * what those who left since the last division were owed, or had too much; it is shared evenly.
 */
export function divide(us: number, holders: readonly Holder[], leftUs = 0): void {
  const [only] = holders;
  if (only !== undefined && holders.length === 1) {
    only.us += us;
    only.owedUs += leftUs;
  }
  if (holders.length < 2) return;
  for (const holder of holders) holder.owedUs += leftUs / holders.length;
  const weights = holders.reduce((sum, { weight }) => sum + weight, 0);
  const shares = holders.map((holder) => {
    const exact = us * (holder.weight / weights) + holder.owedUs;
    const whole = Math.max(0, Math.floor(exact));
    return { holder, whole, remainder: exact - whole };
  });
  let left = us - shares.reduce((sum, { whole }) => sum + whole, 0);
  if (left !== 0) shares.sort((a, b) => b.remainder - a.remainder);
  for (let at = 0; left > 0; at = (at + 1) % shares.length) left -= give(shares[at], 1);
  for (let at = shares.length - 1; left < 0; at = at === 0 ? shares.length - 1 : at - 1) left += give(shares[at], -1);
  for (const { holder, whole, remainder } of shares) {
    holder.us += whole;
    holder.owedUs = remainder;
  }
}

type Share = { whole: number; remainder: number };

/** One microsecond more or less; how many it were. */
function give(share: Share | undefined, us: 1 | -1): 0 | 1 {
  if (share === undefined || share.whole + us < 0) return 0;
  share.whole += us;
  share.remainder -= us;
  return 1;
}
