import { describe, expect, test } from "vitest";
import { ended, judge, starved } from "./verdict.ts";
import type { Drift, Sample } from "./verdict.ts";

const MIB = 2 ** 20;

type Shape = { rssMib?: number; handles?: number; pid?: number; p99Ms?: number; diskMib?: number };

const textsOf = (drifts: readonly Drift[]) => drifts.map(({ text }) => text);

/**
 * 24 samples, as a run of 7 minutes has them after its warm-up and more; `shape` gets how far the run is, from 0 to 1.
 */
function samples(shape: (share: number) => Shape): Sample[] {
  return Array.from({ length: 24 }, (_, index) => {
    const { rssMib = 100, handles = 40, pid = 1, p99Ms = 50, diskMib = 30 } = shape(index / 23);
    const noise = index % 2 === 0 ? 1 : -1;
    const held = new Map([["pool", { pid, rssBytes: (rssMib + noise) * MIB, handles: handles + noise }]]);
    const disk = new Map(["predictions", "webhooks"].map((name) => [name, (diskMib + noise) * MIB]));
    return { held, disk, uncollected: held, perSecond: 100, p50Ms: 10, p99Ms: p99Ms + noise };
  });
}

describe("the verdict on a soak", () => {
  test("a steady run has not drifted, a burst of one sample or not", () => {
    expect(judge(samples((share) => (share > 0.95 ? { rssMib: 400, handles: 500, p99Ms: 900 } : {}))).drifts).toEqual(
      [],
    );
  });

  test("a dip of one sample, when a collection found more than others, is no drift from there", () => {
    expect(judge(samples((share) => ({ rssMib: share > 0.1 && share < 0.15 ? 235 : 250 }))).drifts).toEqual([]);
  });

  test("memory that grows by a fifth over the run is drift; memory that falls is none", () => {
    expect(textsOf(judge(samples((share) => ({ rssMib: 100 + 20 * share }))).drifts)).toEqual([
      expect.stringMatching(/^RSS of pool grew from \d+\.\d to 11\d\.\d MiB \(\+1\d\.\d %\)$/),
    ]);
    expect(judge(samples((share) => ({ rssMib: 100 - 20 * share }))).drifts).toEqual([]);
  });

  test("20 MiB more in a process of 220 MiB are drift, also when a quarter of it fell into the warm-up", () => {
    expect(judge(samples((share) => ({ rssMib: 225 + 15 * share }))).drifts).toHaveLength(1);
    expect(judge(samples((share) => ({ rssMib: 225 + 5 * share }))).drifts).toEqual([]);
    expect(
      judge(
        samples((share) => ({ rssMib: 225 + 15 * share })),
        3,
      ).drifts,
    ).toEqual([]);
    expect(
      judge(
        samples((share) => ({ rssMib: 225 + 40 * share })),
        3,
      ).drifts,
    ).toHaveLength(1);
  });

  test("predictions that do not end with their retention are drift; deliveries, which are kept, are none", () => {
    expect(judge(samples((share) => ({ diskMib: 30 + 5 * share }))).drifts).toEqual([]);
    expect(textsOf(judge(samples((share) => ({ diskMib: 30 + 30 * share }))).drifts)).toEqual([
      expect.stringMatching(/^disk of predictions grew from /),
    ]);
  });

  test("handles that are not closed are drift", () => {
    expect(textsOf(judge(samples((share) => ({ handles: 40 + Math.round(20 * share) }))).drifts)).toEqual([
      expect.stringMatching(/^handles of pool grew from \d+ to 5\d$/),
    ]);
  });

  test("a p99 that doubles is drift", () => {
    expect(textsOf(judge(samples((share) => ({ p99Ms: 100 + 150 * share }))).drifts)).toEqual([
      expect.stringMatching(/^p99 rose /),
    ]);
  });

  test("a process that was started again is told, whatever it holds", () => {
    expect(ended(samples((share) => ({ pid: share < 0.5 ? 1 : 2 })))).toEqual(["pool ended, or was started again"]);
    expect(ended(samples(() => ({})))).toEqual([]);
  });

  test("too few samples are no verdict", () => {
    expect(() => judge(samples(() => ({})).slice(0, 5))).toThrow("too few");
  });
});

test("an account that asks for little may wait about as long as the greedy one, and no longer", () => {
  const accounts = (quiet: number) => [
    { of: "local", p99Ms: 60 },
    { of: "quiet-1", p99Ms: quiet },
  ];
  expect(starved(accounts(105))).toEqual([]);
  expect(textsOf(starved(accounts(115)))).toEqual(["quiet-1 waited for local: p99 115.0 ms beside 60.0 ms"]);
  expect(starved(accounts(155), 2)).toEqual([]);
  expect(starved([{ of: "local", p99Ms: 400 }, ...accounts(590).slice(1)])).toEqual([]);
  expect(starved([{ of: "local", p99Ms: 400 }, ...accounts(610).slice(1)])).toHaveLength(1);
});
