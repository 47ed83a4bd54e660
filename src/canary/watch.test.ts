import { expect, it } from "vitest";
import type { Counts } from "../contract/canary.ts";
import type { Canary } from "../registry/canaries.ts";
import { createWatch } from "./watch.ts";

const canary: Canary = {
  pointer: "alias acme/model:latest",
  id: "c1",
  model: { owner: "acme", name: "model" },
  base: "a".repeat(64),
  version: "b".repeat(64),
  percent: 5,
  stickyBy: "request",
  steps: [],
  step: 0,
  stepAt: 0,
  startedAt: 0,
  end: null,
};
function counts(tried: number, failed: number, usual = 0): Counts {
  const base = { ended: usual, failed: 0, unstarted: 0 };
  return { base, canary: { ended: tried, failed, unstarted: 0 } };
}

it("counts a report once, whoever's it is", () => {
  const watch = createWatch();
  expect(watch.add({ source: "one", seq: 1, counts: counts(1, 0) })).toBe(true);
  expect(watch.add({ source: "one", seq: 1, counts: counts(1, 0) })).toBe(false);
  expect(watch.add({ source: "two", seq: 1, counts: counts(1, 0) })).toBe(true);
  expect(watch.add({ source: "one", seq: 2, counts: counts(1, 0) })).toBe(true);
  expect(watch.kept.counts.canary.ended).toBe(3);
});

it("lets many shards report less often", () => {
  const watch = createWatch();
  expect(watch.everyMs()).toBe(1000);
  for (let shard = 0; shard < 1024; shard += 1) watch.add({ source: `s${shard}`, seq: 1, counts: counts(0, 0) });
  expect(watch.everyMs()).toBe(5120);
  for (let shard = 0; shard < 10_000; shard += 1) watch.add({ source: `t${shard}`, seq: 1, counts: counts(0, 0) });
  expect(watch.everyMs()).toBe(10_000);
});

it("says why it returns, in numbers", () => {
  const watch = createWatch();
  watch.add({ source: "one", seq: 1, counts: counts(12, 6, 228) });
  expect(watch.decide(canary, 0)).toEqual({
    type: "return",
    reason: expect.stringMatching(
      /^of 12 predictions of b{12} 6 failed \(50 %\), of 228 predictions of a{12} 0 failed \(0 %\); chance alone would do that once in [\d,]+\.$/,
    ) as string,
  });
});

it("goes on where it was after a restart", () => {
  const before = createWatch();
  before.add({ source: "one", seq: 1, counts: counts(4, 2, 30) });
  expect(before.decide(canary, 0)).toBeNull();
  const after = createWatch(JSON.parse(JSON.stringify(before.kept)) as typeof before.kept);
  after.add({ source: "two", seq: 1, counts: counts(4, 4, 60) });
  expect(after.decide(canary, 0)).toMatchObject({ type: "return" });
});

it("takes a step once its time is over and ten predictions of it ended", () => {
  const watch = createWatch();
  const steps = [
    { percent: 5, bakeS: 60 },
    { percent: 50, bakeS: 0 },
    { percent: 100, bakeS: 0 },
  ];
  const at = (step: number) => ({ ...canary, steps, step });
  let seq = 0;
  const end = (tried: number): void => {
    seq += 1;
    watch.add({ source: "one", seq, counts: counts(tried, 0) });
  };
  end(10);
  expect(watch.decide(at(0), 59_999)).toBeNull();
  expect(watch.decide(at(0), 60_000)).toEqual({ type: "step", to: steps[1] });
  expect(watch.decide(at(1), 60_000)).toBeNull();
  end(9);
  expect(watch.decide(at(1), 90_000)).toBeNull();
  end(1);
  expect(watch.decide(at(1), 90_000)).toEqual({ type: "step", to: steps[2] });
  expect(watch.decide(at(2), 90_000)).toBeNull();
  end(10);
  expect(watch.decide(at(2), 90_000)).toMatchObject({ type: "promote" });
  const half = { ...canary, steps: [{ percent: 50, bakeS: 0 }] };
  expect(watch.decide(half, 90_000)).toBeNull();
});

it("takes no step of steps that were set anew before ten predictions of it ended since", () => {
  const watch = createWatch();
  watch.add({ source: "one", seq: 1, counts: counts(50, 0, 50) });
  expect(watch.decide(canary, 0)).toBeNull();
  const steps = [10, 50].map((percent) => ({ percent, bakeS: 0 }));
  const anew = { ...canary, steps, stepAt: 7 };
  expect(watch.decide(anew, 7)).toBeNull();
  watch.add({ source: "one", seq: 2, counts: counts(9, 0) });
  expect(watch.decide(anew, 8)).toBeNull();
  watch.add({ source: "one", seq: 3, counts: counts(1, 0) });
  expect(watch.decide(anew, 9)).toEqual({ type: "step", to: steps[1] });
});
