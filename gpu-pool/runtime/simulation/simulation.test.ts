/** Thousands of schedules, days long some of them: nothing is lost, run twice, begun too late, or kept waiting. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { bucketsUpTo, powersOfTwo } from "../../scheduling/batching/buckets.ts";
import { simulate } from "./simulated-pool.ts";
import type { Host, Job } from "./simulated-pool.ts";

const HOUR_MS = 3_600_000;

const job = fc.record({
  /** After the one before it. */
  gapMs: fc.oneof(
    { weight: 8, arbitrary: fc.constant(0) },
    { weight: 8, arbitrary: fc.integer({ min: 1, max: 200 }) },
    { weight: 1, arbitrary: fc.integer({ min: HOUR_MS, max: 24 * HOUR_MS }) },
  ),
  startInMs: fc.oneof(fc.integer({ min: 1, max: 2000 }), fc.constant(HOUR_MS)),
  endInMs: fc.oneof(fc.integer({ min: 1, max: 3000 }), fc.constant(HOUR_MS)),
  cost: fc.integer({ min: 1, max: 64 }),
  does: fc.oneof(
    { weight: 12, arbitrary: fc.constant("well" as const) },
    { weight: 1, arbitrary: fc.constantFrom("raises" as const, "kills" as const) },
  ),
});

const host: fc.Arbitrary<Host> = fc
  .record({
    maxBatchSize: fc.integer({ min: 1, max: 12 }),
    maxQueueDelayMs: fc.constantFrom(0, 5, 50, 500),
    maxBatchCost: fc.option(fc.integer({ min: 1, max: 400 }), { nil: undefined }),
    buckets: fc.constantFrom(undefined, powersOfTwo, bucketsUpTo([8, 24])),
    latencyObjectiveMs: fc.option(fc.integer({ min: 20, max: 1000 }), { nil: undefined }),
    dropsLate: fc.boolean(),
    instances: fc.integer({ min: 1, max: 3 }),
    room: fc.constantFrom(1, 8, 30, Infinity),
    ahead: fc.integer({ min: 0, max: 1 }),
    fixedMs: fc.integer({ min: 0, max: 100 }),
    msPerCost: fc.constantFrom(0, 0.1, 2),
    memoryCost: fc.constantFrom(Infinity, 200, 20),
    armMs: fc.integer({ min: 0, max: 40 }),
    restartMs: fc.integer({ min: 0, max: 2000 }),
  })
  .map(({ instances, room, ahead, fixedMs, msPerCost, memoryCost, armMs, restartMs, ...batching }) => ({
    ...{ batching, instances, room, ahead, memoryCost, armMs, restartMs },
    runMs: (size, largest) => fixedMs + msPerCost * size * largest,
  }));

function jobsOf(drawn: readonly (Omit<Job, "id" | "atMs"> & { gapMs: number })[]): Job[] {
  let atMs = 0;
  return drawn.map(({ gapMs, ...rest }, index) => ({ ...rest, id: `j${index}`, atMs: (atMs += gapMs) }));
}

test("whatever comes when, whatever fails: each job ends once, and as it must", () => {
  fc.assert(
    fc.property(host, fc.array(job, { maxLength: 40 }), (where, drawn) => {
      const jobs = jobsOf(drawn);
      const outcome = simulate(jobs, where);
      expect(outcome.problems).toEqual([]);
      expect(outcome.ended).toHaveLength(jobs.length);
      const { batching } = where;
      for (const { job: one, how, atMs, dispatchedAtMs } of outcome.ended) {
        const mayBe = { well: "done", raises: "failed", kills: "crashed" }[one.does];
        // A start that is counted may happen; one that isn't expires.
        expect([mayBe, "expired", "late"]).toContain(how);
        if (how === "expired") expect(atMs).toBeGreaterThanOrEqual(one.atMs + Math.min(one.startInMs, one.endInMs));
        if (how === "late") expect(batching.dropsLate).toBe(true);
        // Half of a batch that failed may have run past its deadline.
        if (how === "late" && dispatchedAtMs === null) expect(atMs).toBeLessThanOrEqual(one.atMs + one.endInMs + 1);
        if (how === "done") expect(dispatchedAtMs).not.toBeNull();
      }
      for (const { size, cost } of outcome.batches) {
        expect(size).toBeLessThanOrEqual(batching.maxBatchSize);
        expect(size === 1 || cost <= (batching.maxBatchCost ?? Infinity)).toBe(true);
      }
    }),
    { numRuns: 2000 },
  );
});
