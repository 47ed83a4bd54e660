/**
 * How true places and ETAs are, in simulated pools on the real lane core: what was told at acceptance against what
 * came.
 */
import { priorities } from "../../src/contract/prediction.ts";
import type { Priority } from "../../src/contract/prediction.ts";
import { LaneSim } from "./lane-sim.ts";

export type PlaceCase = {
  name: string;
  seed: number;
  accounts: number;
  /** Waiting predictions of each account, at most. */
  depth: number;
  weights: readonly number[];
  priorities: readonly Priority[];
  pools: number;
  slots: number;
  ahead: number;
  /**
   * What an account's runs take: the mean of each is drawn from this range, and each run strays from its mean by this
   * part.
   */
  runMs: readonly [number, number];
  spread: number;
  /** Runs of each account that the lane has seen before. */
  known?: number;
};

export type Told = { id: string; told: number; first: number; etaMs: number | null; waitMs: number };

export const placeCases: readonly PlaceCase[] = [
  {
    name: "one account",
    seed: 1,
    accounts: 1,
    depth: 300,
    weights: [1],
    priorities: ["normal"],
    pools: 1,
    slots: 4,
    ahead: 0,
    runMs: [500, 500],
    spread: 0,
  },
  {
    name: "50 accounts, same runs",
    seed: 2,
    accounts: 50,
    depth: 20,
    weights: [1],
    priorities: ["normal"],
    pools: 4,
    slots: 4,
    ahead: 0,
    runMs: [500, 500],
    spread: 0.1,
  },
  {
    name: "50 accounts, weights",
    seed: 3,
    accounts: 50,
    depth: 20,
    weights: [1, 2, 4],
    priorities: ["normal"],
    pools: 4,
    slots: 4,
    ahead: 4,
    runMs: [500, 500],
    spread: 0.1,
  },
  {
    name: "priorities",
    seed: 4,
    accounts: 12,
    depth: 40,
    weights: [1],
    priorities,
    pools: 2,
    slots: 4,
    ahead: 0,
    runMs: [300, 300],
    spread: 0.1,
  },
  {
    name: "one floods",
    seed: 5,
    accounts: 8,
    depth: 1500,
    weights: [1],
    priorities: ["normal"],
    pools: 4,
    slots: 4,
    ahead: 0,
    runMs: [200, 200],
    spread: 0.2,
  },
  {
    name: "accounts' runs differ fourfold",
    seed: 6,
    accounts: 20,
    depth: 40,
    weights: [1],
    priorities: ["normal"],
    pools: 4,
    slots: 4,
    ahead: 0,
    runMs: [200, 800],
    spread: 0.1,
    known: 20,
  },
];

/**
 * Fills a lane that has run for a while, and lets it run empty without later arrivals. Answers what the second half was
 * told, and what came.
 */
export function playPlaces(one: PlaceCase): Told[] {
  const random = createRandom(one.seed);
  const sim = new LaneSim();
  for (let pool = 0; pool < one.pools; pool += 1) sim.addPool(`pool-${pool}`, one.slots, ["v"], one.ahead);
  const means = Array.from({ length: one.accounts }, () => one.runMs[0] + random() * (one.runMs[1] - one.runMs[0]));
  let made = 0;
  const jobOf = (account: number) => {
    made += 1;
    return {
      id: `j${String(made).padStart(7, "0")}`,
      account: `a${account}`,
      weight: one.weights[account % one.weights.length] ?? 1,
      priority: one.priorities[account % one.priorities.length] ?? "normal",
      runMs: (means[account] ?? 0) * (1 + one.spread * (2 * random() - 1)),
    };
  };
  // Some have run before, so that the lane knows what runs take.
  for (let account = 0; account < one.accounts; account += 1) {
    sim.submit(Array.from({ length: one.known ?? 2 }, () => jobOf(account)));
  }
  sim.run(30_000);
  const all: { account: number; at: number }[] = [];
  for (let account = 0; account < one.accounts; account += 1) {
    const depth =
      account === 0
        ? one.depth
        : Math.ceil((one.depth / (account > 3 && one.depth > 1000 ? 50 : 1)) * (0.5 + random() / 2));
    for (let index = 0; index < depth; index += 1) all.push({ account, at: random() });
  }
  all.sort((a, b) => a.at - b.at);
  for (const { account } of all.slice(0, -200)) {
    sim.submit([jobOf(account)]);
    sim.run(1);
  }
  // The last come at once: nobody comes after them.
  const last = all.slice(-200).map(({ account }) => jobOf(account));
  for (const job of last) sim.submit([job]);
  const offeredAt = sim.now;
  const startedBefore = sim.starts.length;
  const told = last.map(({ id }) => ({ id, place: sim.place(id) }));
  sim.run(3_600_000);
  const order = new Map(sim.starts.map(({ id, at }, index) => [id, { index, at }]));
  return told.flatMap(({ id, place }) => {
    const start = order.get(id);
    if (start === undefined || place.position === null) return [];
    return {
      id,
      told: place.position,
      first: start.index - startedBefore,
      etaMs: place.etaMs,
      waitMs: start.at - offeredAt,
    };
  });
}

/**
 * Of what was told: the part of positions within max(2, 10 %), and the median of the ETA's error where the wait was
 * over 2 s.
 */
export function judgePlaces(told: readonly Told[]): { inBounds: number; worst: number; etaError: number } {
  const errors = told.map((one) => Math.abs(one.told - one.first) / Math.max(2, 0.1 * one.first));
  const etas = told
    .filter(({ waitMs }) => waitMs > 2000)
    .map(({ etaMs, waitMs }) => (etaMs === null ? Infinity : Math.abs(etaMs - waitMs) / waitMs))
    .toSorted((a, b) => a - b);
  return {
    inBounds: errors.filter((error) => error <= 1).length / Math.max(1, errors.length),
    worst: Math.max(...errors),
    etaError: etas[Math.floor(etas.length / 2)] ?? Infinity,
  };
}

function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return state / 0x7fffffff;
  };
}
