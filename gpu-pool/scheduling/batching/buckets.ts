/** Buckets of like cost: a batch holds predictions of one bucket, so that little of it is padding. Pure. */

export type Buckets = {
  /** The number of the bucket of this cost; costs of the same number run together. */
  of(cost: number): number;
};

/** All costs are alike. */
export const oneBucket: Buckets = { of: () => 0 };

/** A bucket up to each power of two. */
export const powersOfTwo: Buckets = { of: (cost) => (cost <= 1 ? 0 : Math.ceil(Math.log2(cost))) };

/** A bucket up to each of these, in rising order, and one beyond the last. */
export function bucketsUpTo(bounds: readonly number[]): Buckets {
  return {
    of(cost) {
      const index = bounds.findIndex((bound) => cost <= bound);
      return index === -1 ? bounds.length : index;
    },
  };
}
