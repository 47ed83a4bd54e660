/** Whether anything waited beside room. */

/**
 * Times in milliseconds since the epoch; `startedAt` null: it ended before it started. `lost`: it ran more than once.
 */
export type Span = { createdAt: number; startedAt: number | null; endedAt: number; lost: boolean };

/**
 * The longest time in milliseconds in which something waited while fewer than `slots(at)` ran, without the time for
 * which the machine stood still meanwhile. How long one waited that was lost and ran again isn't told.
 */
export function longestIdle(
  spans: readonly Span[],
  slots: (at: number) => number,
  stalledMs: (from: number, to: number) => number = () => 0,
): number {
  const changes = spans.flatMap(({ createdAt, startedAt, endedAt, lost }): [number, number, number][] => [
    ...(lost
      ? []
      : ([
          [createdAt, 1, 0],
          [startedAt ?? endedAt, -1, 0],
        ] as [number, number, number][])),
    ...(startedAt === null
      ? []
      : ([
          [startedAt, 0, 1],
          [endedAt, 0, -1],
        ] as [number, number, number][])),
  ]);
  let [waiting, running, longest] = [0, 0, 0];
  let since: number | null = null;
  for (const [at, moreWaiting, moreRunning] of changes.toSorted(([a], [b]) => a - b)) {
    if (since !== null) longest = Math.max(longest, at - since - stalledMs(since, at));
    waiting += moreWaiting;
    running += moreRunning;
    const isIdle = waiting > 0 && running < slots(at);
    since = isIdle ? (since ?? at) : null;
  }
  return longest;
}
