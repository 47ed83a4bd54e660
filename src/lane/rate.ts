/**
 * How fast what waits gets its turn: runs that ended over the last half minute, per second in which something waited.
 * Time in which nothing waits says nothing of how fast a queue would go; and the burst that fills empty slots as a
 * queue forms would say too much, which is why ends are counted and not starts. Pure.
 */
const SPAN_SECONDS = 30;

type Bucket = { second: number; ends: number; busyMs: number };

export type Rate = ReturnType<typeof createRate>;

export function createRate() {
  let buckets: Bucket[] = [];
  let busySince: number | null = null;

  function bucketOf(second: number): Bucket {
    const last = buckets.at(-1);
    if (last?.second === second) return last;
    const fresh = { second, ends: 0, busyMs: 0 };
    buckets.push(fresh);
    if (buckets.length > SPAN_SECONDS) buckets = buckets.filter((bucket) => bucket.second > second - SPAN_SECONDS);
    return fresh;
  }

  /** Adds the time in which something waited, up to now, to its seconds. */
  function accrue(now: number): void {
    if (busySince === null) return;
    let from = Math.max(busySince, now - SPAN_SECONDS * 1000);
    while (from < now) {
      const second = Math.floor(from / 1000);
      const to = Math.min(now, (second + 1) * 1000);
      bucketOf(second).busyMs += to - from;
      from = to;
    }
    busySince = now;
  }

  return {
    /** Whether something waits from now on. */
    setBusy(isBusy: boolean, now: number): void {
      if (isBusy === (busySince !== null)) return;
      accrue(now);
      busySince = isBusy ? now : null;
    },

    /** A run ended. */
    mark(now: number): void {
      if (busySince === null) return;
      accrue(now);
      bucketOf(Math.floor(now / 1000)).ends += 1;
    },

    /**
     * Null before `rounds` times what is in flight have ended. Half of what is in flight is taken to be half done: else
     * a queue that has just formed would seem slower than it is, by the time that its first runs take.
     */
    perSecond(now: number, inFlight: number, rounds: number): number | null {
      accrue(now);
      const second = Math.floor(now / 1000);
      let ends = 0;
      let busyMs = 0;
      for (const bucket of buckets) {
        if (bucket.second <= second - SPAN_SECONDS) continue;
        ends += bucket.ends;
        busyMs += bucket.busyMs;
      }
      return ends === 0 || ends < rounds * inFlight || busyMs === 0 ? null : ((ends + inFlight / 2) * 1000) / busyMs;
    },
  };
}
