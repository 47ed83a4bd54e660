import { expect, it } from "vitest";
import { LaneSim } from "../../test/unit/lane-sim.ts";
import type { Job, Start } from "../../test/unit/lane-sim.ts";

const SLOTS = 16;

function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return state / 0x7fffffff;
  };
}

function setUp(seed: number, ahead = 0, isPrompt = false) {
  const sim = new LaneSim({}, { isPrompt });
  for (let index = 0; index < 4; index += 1) sim.addPool(`pool-${index}`, SLOTS / 4, ["v"], ahead);
  const random = createRandom(seed);
  let made = 0;
  const submit = (account: string, count: number, make: (id: string) => Omit<Job, "id" | "account">): string[] => {
    const jobs = Array.from({ length: count }, () => {
      made += 1;
      const id = `j${String(made).padStart(7, "0")}`;
      return { id, account, ...make(id) };
    });
    sim.submit(jobs);
    return jobs.map(({ id }) => id);
  };
  return { sim, random, submit };
}

/** What ended while it was measured, by `key`: milliseconds of slots, and runs. */
function measure(sim: LaneSim, key: (start: Start) => string) {
  const used = new Map<string, { ms: number; runs: number }>();
  let isOn = false;
  sim.onEnd = (start) => {
    if (!isOn) return;
    const before = used.get(key(start)) ?? { ms: 0, runs: 0 };
    used.set(key(start), { ms: before.ms + start.runMs, runs: before.runs + 1 });
  };
  return { used, begin: () => void (isOn = true) };
}

/**
 * Fifty accounts: 0 floods, 1 brings poison, 2 cancels at random, each tenth has twice the weight. All but the poison
 * always have something waiting.
 */
function contend(seed: number, ahead: number) {
  const { sim, random, submit } = setUp(seed, ahead);
  const weightOf = (account: number) => (account % 10 === 3 ? 2 : 1);
  const make = (account: number) => () => ({
    weight: weightOf(account),
    runMs: account === 1 ? 3 : (400 + 300 * (account % 3)) * (0.6 + 0.8 * random()),
  });
  const waiting: string[] = [];
  for (let account = 0; account < 50; account += 1) {
    const ids = submit(`a${account}`, account === 0 ? 10_000 : 30, make(account));
    if (account === 2) waiting.push(...ids);
  }
  sim.onStart = ({ account: name }) => {
    const account = Number(name.slice(1));
    if (account === 0) return;
    const again = () => submit(name, 1, make(account));
    if (account === 1) sim.after(400, again);
    else if (account === 2) waiting.push(...again());
    else again();
  };
  const cancel = () => {
    const [id] = waiting.splice(Math.floor(random() * waiting.length), 1);
    if (id !== undefined && sim.jobs.has(id)) {
      sim.cancel(id);
      waiting.push(...submit("a2", 1, make(2)));
    }
    sim.after(1000, cancel);
  };
  sim.after(0, cancel);
  return { sim, submit, weightOf };
}

it.each([
  [1, 0],
  [2, 8],
])(
  "gives each of 50 accounts its share of the GPUs, to a twentieth (seed %i, %i ahead)",
  (seed, ahead) => {
    const { sim, weightOf } = contend(seed, ahead);
    const { used, begin } = measure(sim, ({ account }) => account);
    sim.run(30_000);
    begin();
    sim.run(760_000);
    const honest = [...used].filter(([account]) => account !== "a1");
    expect(honest).toHaveLength(49);
    const total = honest.reduce((sum, [, { ms }]) => sum + ms, 0);
    const weights = honest.reduce((sum, [account]) => sum + weightOf(Number(account.slice(1))), 0);
    for (const [account, { ms, runs }] of honest) {
      expect(runs).toBeGreaterThanOrEqual(200);
      const share = ms / ((total * weightOf(Number(account.slice(1)))) / weights);
      expect(Math.abs(share - 1), `${account} had ${share} of its share`).toBeLessThan(0.05);
    }
    // Nothing stood still for it.
    expect(total).toBeGreaterThan(0.97 * SLOTS * 760_000);
  },
  60_000,
);

it("lets who comes wait no longer than a fair round", () => {
  const { sim, submit } = contend(3, 0);
  // One estimated run of each account by weight, over the slots, and the longest run in progress.
  const roundMs = (50 * 700) / SLOTS + 1000 * 1.4;
  const waits: number[] = [];
  const { onStart } = sim;
  sim.onStart = (start) => {
    if (start.account.startsWith("guest")) waits.push(start.at - (sim.submittedAt.get(start.id) ?? 0));
    else onStart(start);
  };
  for (let guest = 0; guest < 40; guest += 1)
    sim.after(20_000 + guest * 2500, () => submit(`guest${guest}`, 1, () => ({ runMs: 700 })));
  sim.run(140_000);
  expect(waits).toHaveLength(40);
  expect(Math.max(...waits)).toBeLessThanOrEqual(roundMs);
});

it("shares GPU time between priorities 6:3:1, whatever their runs take", () => {
  const { sim, submit } = setUp(4);
  const lengths = { high: 900, normal: 500, low: 300 };
  const { used, begin } = measure(sim, ({ priority }) => priority);
  for (const priority of ["high", "normal", "low"] as const) {
    submit(`of ${priority}`, 60, () => ({ priority, runMs: lengths[priority] }));
  }
  sim.onStart = ({ account, priority }) => void submit(account, 1, () => ({ priority, runMs: lengths[priority] }));
  sim.run(20_000);
  begin();
  sim.run(200_000);
  const total = [...used.values()].reduce((sum, { ms }) => sum + ms, 0);
  for (const [priority, part] of [
    ["high", 0.6],
    ["normal", 0.3],
    ["low", 0.1],
  ] as const) {
    expect(Math.abs((used.get(priority)?.ms ?? 0) / total / part - 1), priority).toBeLessThan(0.05);
  }
});

it("keeps the short way fair: who asks for little waits for no crowd that asks for much", () => {
  const { sim, random } = setUp(12, 0, true);
  const runMs = 500;
  const waits = new Map<string, number[]>();
  let made = 0;
  const submit = (account: string) => {
    made += 1;
    sim.submitShort([{ id: `s${String(made).padStart(7, "0")}`, account, runMs: runMs * (0.8 + 0.4 * random()) }]);
  };
  const quiet = ["a", "b", "c", "d"];
  sim.onStart = ({ id, account, at }) => {
    waits.set(account, [...(waits.get(account) ?? []), at - (sim.submittedAt.get(id) ?? 0)]);
  };
  // Each client asks again once it has its answer; the quiet ones think for a while before.
  sim.onEnd = ({ account }) => sim.after(account === "greedy" ? 1 : 200 + 600 * random(), () => submit(account));
  for (let client = 0; client < 4 * SLOTS; client += 1) submit("greedy");
  for (const account of quiet) submit(account);
  sim.run(120_000);
  const mean = (account: string) => {
    const all = waits.get(account) ?? [];
    return all.reduce((sum, ms) => sum + ms, 0) / all.length;
  };
  expect(mean("greedy")).toBeGreaterThan(2 * runMs);
  for (const account of quiet) {
    expect(waits.get(account)?.length).toBeGreaterThan(100);
    // A run of each account, and the longest that is in progress: on 16 slots far less than that at the median.
    expect(Math.max(...(waits.get(account) ?? []))).toBeLessThan(2 * runMs);
    expect(mean(account)).toBeLessThan(runMs / 2);
  }
});

it("gives no credit for time in which an account asked for nothing", () => {
  const { sim, submit } = setUp(5);
  submit("busy", 4000, () => ({ runMs: 500 }));
  sim.run(60_000);
  const { used, begin } = measure(sim, ({ account }) => account);
  submit("idle before", 4000, () => ({ runMs: 500 }));
  begin();
  sim.run(30_000);
  const [a, b] = [used.get("busy")?.ms ?? 0, used.get("idle before")?.ms ?? 0];
  expect(Math.abs(a / b - 1)).toBeLessThan(0.1);
});

it("gives no credit for time in which an account's own model had no room", () => {
  const { sim, submit } = setUp(6);
  // `closed` waits for a version that nobody serves; `both` waits for it too, and runs meanwhile on another.
  submit("closed", 400, () => ({ version: "w", runMs: 500 }));
  submit("both", 400, () => ({ version: "w", runMs: 500 }));
  submit("both", 4000, () => ({ runMs: 500 }));
  sim.run(60_000);
  const { used, begin } = measure(sim, ({ account, version }) => `${account} ${version}`);
  begin();
  sim.addPool("late", 4, ["w"]);
  sim.run(5000);
  // Nobody owes, and nobody is owed, for the minute without a pool: both begin alike. (`both` pays for its other runs
  // from now on.)
  expect(used.get("both w")?.runs ?? 0).toBeGreaterThan(0);
  expect(used.get("closed w")?.runs ?? 0).toBeGreaterThan(used.get("both w")?.runs ?? 0);
});

it("counts an account's runs on one version against its share of another", () => {
  const { sim, submit } = setUp(7);
  sim.addPool("other", SLOTS, ["w"]);
  const { used, begin } = measure(sim, ({ account }) => account);
  submit("both", 3000, () => ({ runMs: 500 }));
  submit("both", 3000, () => ({ version: "w", runMs: 500 }));
  submit("one", 3000, () => ({ runMs: 500 }));
  submit("other", 3000, () => ({ version: "w", runMs: 500 }));
  sim.run(5000);
  begin();
  sim.run(60_000);
  const shares = ["both", "one", "other"].map((account) => (used.get(account)?.ms ?? 0) / (2 * SLOTS * 60_000));
  for (const share of shares) expect(Math.abs(share * 3 - 1)).toBeLessThan(0.05);
});

it("holds up nobody's idle instance with another model's backlog", () => {
  const { sim, submit } = setUp(8);
  sim.addPool("warm", 1, ["w"]);
  submit("busy", 500, () => ({ runMs: 2000 }));
  sim.run(10_000);
  const [id = ""] = submit("busy", 1, () => ({ version: "w", runMs: 10 }));
  sim.run(1000);
  const start = sim.starts.find((one) => one.id === id);
  expect((start?.at ?? Infinity) - (sim.submittedAt.get(id) ?? 0)).toBeLessThan(50);
});
