/** Claims a second over the last half minute, or what it was when there last were any. Pure. */
const SPAN_SECONDS = 30;

export type Rate = ReturnType<typeof createRate>;

export function createRate() {
  let buckets: { second: number; count: number }[] = [];
  let last: number | null = null;

  return {
    mark(count: number, now: number): void {
      const second = Math.floor(now / 1000);
      buckets = buckets.filter((bucket) => bucket.second > second - SPAN_SECONDS);
      const current = buckets.at(-1);
      if (current?.second === second) current.count += count;
      else buckets.push({ second, count });
    },

    /** Null before the first claim. */
    perSecond(now: number): number | null {
      const second = Math.floor(now / 1000);
      const recent = buckets.filter((bucket) => bucket.second > second - SPAN_SECONDS);
      const [first] = recent;
      if (first === undefined) return last;
      const total = recent.reduce((sum, { count }) => sum + count, 0);
      last = total / Math.max(1, second - first.second + 1);
      return last;
    },
  };
}
