import { describe, expect, it } from "vitest";
import { noCounts } from "../contract/canary.ts";
import { hypergeometricTail, judge } from "./judge.ts";

/** Numbers that look random and are the same every time: mulberry32. */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}

type Traffic = { share: number; base: number; canary: number; predictions: number };

/** After how many predictions of both versions the canary is returned; null: not at all. */
function returnedAfter({ share, base, canary, predictions }: Traffic, random: () => number): number | null {
  const [counts, looked] = [noCounts(), { failed: 0, unstarted: 0 }];
  for (let count = 1; count <= predictions; count += 1) {
    const isTried = random() < share;
    const arm = isTried ? counts.canary : counts.base;
    arm.ended += 1;
    if (random() < (isTried ? canary : base)) arm.failed += 1;
    if (judge(counts, looked) !== null) return count;
  }
  return null;
}

function run(traffic: Traffic, times: number): (number | null)[] {
  const random = createRandom(times);
  return Array.from({ length: times }, () => returnedAfter(traffic, random));
}

const highest = (ends: (number | null)[]): number => Math.max(...ends.map((end) => end ?? Infinity));

describe("the test", () => {
  it("is Fisher's: the tea that he was served, and tails that were computed by hand", () => {
    expect(hypergeometricTail({ tried: 4, all: 8, failed: 4 }, 4)).toBeCloseTo(1 / 70, 12);
    expect(hypergeometricTail({ tried: 4, all: 8, failed: 4 }, 3)).toBeCloseTo(17 / 70, 12);
    expect(hypergeometricTail({ tried: 3, all: 20, failed: 3 }, 3)).toBeCloseTo(1 / 1140, 12);
    expect(hypergeometricTail({ tried: 5, all: 10, failed: 3 }, 0)).toBeCloseTo(1, 12);
  });

  it("takes millions in its stride", () => {
    const chance = hypergeometricTail({ tried: 5_000_000, all: 10_000_000, failed: 20_000 }, 10_000);
    expect(chance).toBeGreaterThan(0.49);
    expect(chance).toBeLessThan(0.52);
  });
});

it("goes on with a canary that fails far less often than the base", () => {
  const counts = {
    base: { ended: 10_000, failed: 9000, unstarted: 0 },
    canary: { ended: 10_000, failed: 100, unstarted: 0 },
  };
  expect(judge(counts, { failed: 0, unstarted: 0 })).toBeNull();
  expect(hypergeometricTail({ tried: 10_000, all: 20_000, failed: 9100 }, 100)).toBe(1);
});

describe("a canary that fails half of the time", () => {
  it.each([0.01, 0.05, 0.25, 0.5])("is returned soon with a share of %f, in every run", (share) => {
    const ends = run({ share, base: 0, canary: 0.5, predictions: 3000 }, 200);
    // The worst of 200 runs; with a share of 5 % a dozen of its own predictions are enough.
    expect(highest(ends) * share).toBeLessThan(50);
  });

  it("is returned although the base fails now and then", () => {
    expect(highest(run({ share: 0.1, base: 0.05, canary: 0.5, predictions: 2000 }, 200))).toBeLessThan(500);
  });

  it("is returned within hours where there is one prediction a minute, half of them the canary's", () => {
    expect(highest(run({ share: 0.5, base: 0, canary: 0.5, predictions: 200 }, 200))).toBeLessThan(120);
  });
});

describe("a canary that is as good as its base", () => {
  it.each([
    [0.05, 0],
    [0.05, 0.02],
    [0.5, 0.02],
    [0.05, 0.3],
    [0.01, 0.1],
  ])("with a share of %f and failures of %f goes on, but for one in a hundred", (share, rate) => {
    const ends = run({ share, base: rate, canary: rate, predictions: 3000 }, 300);
    expect(ends.filter((end) => end !== null).length).toBeLessThanOrEqual(3);
  });

  it("goes on where both fail always", () => {
    expect(run({ share: 0.2, base: 1, canary: 1, predictions: 500 }, 20)).toEqual(Array(20).fill(null));
  });
});

it("looks once a number of failures, however often it is asked", () => {
  const [counts, looked] = [noCounts(), { failed: 0, unstarted: 0 }];
  Object.assign(counts.canary, { ended: 3, failed: 3 });
  expect(judge(counts, looked)).toBeNull();
  counts.base.ended = 1000;
  expect(judge(counts, looked)).toBeNull();
  Object.assign(counts.canary, { ended: 4, failed: 4 });
  expect(judge(counts, looked)).toMatchObject({ fault: "failed" });
});

it("returns what no pool starts, where pools start the base", () => {
  const [counts, looked] = [noCounts(), { failed: 0, unstarted: 0 }];
  counts.canary.unstarted = 5;
  counts.base.ended = 100;
  expect(judge(counts, looked)).toMatchObject({ fault: "unstarted" });
  expect(
    judge({ ...noCounts(), canary: { ended: 0, failed: 0, unstarted: 9 } }, { failed: 0, unstarted: 0 }),
  ).toBeNull();
});
