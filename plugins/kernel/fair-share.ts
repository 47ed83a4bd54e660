/**
 * What several share that one of them could fill: bytes in memory, open streams. Each holder has a bound of its own.
 * Where all together have more than `total`, who has more than an even share of it gets no more, and the others do: one
 * that fills it is refused, and nobody else. All together never hold more than twice `total`.
 */
export type ShareLimits = { total: number; perHolder: number };

/** Whose bound stands in the way: the holder's own, or that of all, of which the holder has its share. */
export type Bound = "own" | "all";

export type FairShare = ReturnType<typeof createFairShare>;

export function createFairShare({ total, perHolder }: ShareLimits) {
  const amounts = new Map<string, number>();
  let all = 0;

  const of = (holder: string): number => amounts.get(holder) ?? 0;

  return {
    of,

    /** The bound that `holder` would pass with so much `more`; null: it may have it. */
    refusal(holder: string, more: number): Bound | null {
      const wanted = of(holder) + more;
      if (wanted > perHolder) return "own";
      if (all + more <= total) return null;
      const holders = amounts.size + (amounts.has(holder) ? 0 : 1);
      return wanted > total / holders || all + more > 2 * total ? "all" : null;
    },

    /** Notes that `holder` has so much more, or (below 0) less. Who has nothing takes nothing here. */
    change(holder: string, by: number): void {
      const amount = of(holder) + by;
      all += by;
      if (amount === 0) amounts.delete(holder);
      else amounts.set(holder, amount);
    },
  };
}
