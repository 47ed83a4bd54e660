/** What predictions cost, and when their budgets get it back, through the core of a shard. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { HeldReservation } from "../../plugins/kernel/reservations.ts";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import type { PoolEvent } from "../contract/event.ts";
import { newPredictionId } from "../contract/ids.ts";
import type { Pricing } from "../contract/price.ts";
import type { UsageReport } from "../contract/usage.ts";
import { ShardCore } from "./core.ts";
import { defaultRules } from "./rules.ts";
import { replayableOf } from "./replay.ts";
import { snapshotOf } from "./row.ts";
import type { Submission } from "./types.ts";
import { usageRecords } from "./usage-records.ts";

const SESSION = "session-1";
const LANES = ["default"];
const usage = { device: "h200", queuedMs: 0, runMs: 400, gpuUs: 250_000 };
const price = { id: "1:*", currency: "USD", perSecond: { h200: 4000 }, perUnit: {}, perRequest: 10, minimum: 0 };
const money: HeldReservation = { plugin: "budget", service: "allowance", id: "money", data: 1, needsCost: true };
const slot: HeldReservation = { plugin: "rate-limit", service: "allowance", id: "slot", data: 1 };

function setUp(pricing: Pricing | null = { price, expectedNano: 77 }, more: Partial<Submission> = {}) {
  const clock = { now: 1_700_000_000_000 };
  const sql = memorySql();
  let tokens = 0;
  const life = () =>
    new ShardCore(sql, { rules: defaultRules, now: () => clock.now, newToken: () => `token-${(tokens += 1)}` });
  const core = life();
  const id = newPredictionId(1);
  const priced = pricing === null ? {} : { pricing };
  core.submit({ ...submission(id), ...priced, reservations: [money, slot], keyed: false, ...more });
  const claim = (session = SESSION): string => {
    const [answer] = core.claim({ session, jobs: [{ id, startNow: true }] }, LANES);
    if (answer?.verdict !== "granted") throw new Error("not granted");
    return answer.token;
  };
  const send = (token: string, event: object) =>
    core.deliver([{ id, token, seq: 0, ...event } as PoolEvent], SESSION, LANES);
  const report = (token: string, attempt: number, outcome: UsageReport["outcome"]) =>
    core.deliver([], SESSION, LANES, [{ id, token, attempt, outcome, usage }]);
  const cost = () => {
    const row = core.store.get(id);
    const { state, nano } = (row === null ? undefined : snapshotOf(row, null).cost) ?? {};
    return [state, nano];
  };
  const given = () => core.settlement.take("allowance", 10).map(({ id: one, costNano }) => [one, costNano]);
  return { core, clock, id, claim, send, report, cost, given, life };
}

describe("the cost of a prediction", () => {
  it("is known with its end, outlives a restart, and settles its budgets", () => {
    const pricing: Pricing = { price, expectedNano: 77, basis: "run_time" };
    const { claim, send, cost, given, life, id } = setUp({ ...pricing, devices: 2 });
    expect(cost()).toEqual(["estimated", 77]);
    expect(life().store.get(id)?.fixed.pricing).toEqual(pricing);
    send(claim(), { type: "succeeded", output: 1, usage });
    expect(cost()).toEqual(["final", 1010]);
    expect(given()).toEqual([
      ["money", 1010],
      ["slot", 1010],
    ]);
    expect(life().store.get(id)?.costNano).toBe(1010);
  });

  it("of one that is stopped while it runs comes with its pool's report: its budgets wait, and nothing else does", () => {
    const { core, clock, claim, report, cost, given, id } = setUp();
    const token = claim();
    clock.now += 500;
    core.cancel(id, "account");
    expect(cost()).toEqual(["estimated", 77]);
    expect(given()).toEqual([["slot", 0]]);
    clock.now += 2500;
    core.wake();
    expect(given()).toEqual([["slot", 0]]);
    report(token, 1, "stopped");
    expect(cost()).toEqual(["final", 1010]);
    expect(given()).toEqual([["money", 1010]]);
  });

  it("of one that is stopped by a pool that vanished is what passed here, and waits no longer than a lease", () => {
    const { core, clock, claim, cost, given, id } = setUp({
      price: { ...price, perSecond: { "*": 1000 } },
      expectedNano: 77,
    });
    claim();
    clock.now += 2000;
    core.cancel(id, "account");
    given();
    clock.now += defaultRules.leaseMs;
    core.judge(SESSION, [id], { alive: false, remainingMs: 0 });
    const [state, nano] = cost();
    expect([state, Number(nano) >= 2010]).toEqual(["final", true]);
    expect(given()).toEqual([["money", nano]]);
  });

  it.each([
    ["less", 250_000, 1010],
    ["more", 2_900_000, 11_610],
  ])("of one that was estimated is corrected, of its budgets too, when its pool tells of %s", (_which, gpuUs, nano) => {
    const { core, clock, claim, cost, id, life } = setUp({
      price: { ...price, perSecond: { "*": 4000 } },
      expectedNano: 7,
    });
    const token = claim();
    clock.now += 2000;
    core.cancel(id, "account");
    core.settlement.settled(core.settlement.take("allowance", 10));
    clock.now += defaultRules.leaseMs;
    core.judge(SESSION, [id], { alive: false, remainingMs: 0 });
    const estimated = cost()[1];
    const first = core.settlement.take("allowance", 10);
    expect(first).toMatchObject([{ id: "money", costNano: estimated, mayChange: true }]);
    core.settlement.settled(first);
    // It waits in its row for what is told later, and asks for nothing until then.
    const second = life();
    expect(second.store.get(id)).toMatchObject({ reservations: [money], handAt: null });
    const reports: UsageReport[] = [{ id, token, attempt: 1, outcome: "stopped", usage: { ...usage, gpuUs } }];
    second.deliver([], SESSION, LANES, reports);
    for (const again of [1, 2]) {
      const corrected = second.settlement.take("allowance", 10);
      expect(corrected, `${again}`).toMatchObject([{ id: "money", costNano: nano }]);
      expect(corrected[0]).not.toHaveProperty("mayChange");
      // The answer was lost, and it is told once more.
      if (again === 2) second.settlement.settled(corrected);
      else second.settlement.settled(first);
      clock.now += 2000;
      second.wake();
    }
    second.deliver([], SESSION, LANES, reports);
    clock.now += 60_000;
    second.wake();
    expect(second.settlement.waiting.size).toBe(0);
    expect(second.store.get(id)).toMatchObject({ reservations: null, handAt: null, costNano: nano });
  });

  it("is by no device time behind its end, however late its pool comes back, and however much it tells", () => {
    const perSecond = { price: { ...price, perSecond: { "*": 4000 } }, expectedNano: 7 };
    const { core, clock, claim, cost, id } = setUp(perSecond);
    const token = claim();
    clock.now += 2000;
    core.cancel(id, "account");
    clock.now += defaultRules.leaseMs;
    core.judge(SESSION, [id], { alive: false, remainingMs: 0 });
    clock.now += 20 * 3_600_000;
    const late = { ...usage, devices: 2, runMs: 72_000_000, gpuUs: 144_000_000_000 };
    core.deliver([], SESSION, LANES, [{ id, token, attempt: 1, outcome: "stopped", usage: late }]);
    // Two seconds and the second that is its pool's grace, on two devices: what it kept them for longer is recorded.
    expect(cost()).toEqual(["final", 10 + 6 * 4000]);
    expect(core.store.get(id)?.usage?.at(-1)).toMatchObject({ gpuUs: 144_000_000_000 });
  });

  it.each([
    ["less", 250_000, 1010],
    ["more", 2_900_000, 8010],
  ])(
    "of one that a strict budget holds is corrected to no more than was settled: told of %s",
    (_which, gpuUs, nano) => {
      const { core, clock, claim, cost, id } = setUp({
        price: { ...price, perSecond: { "*": 4000 } },
        ...{ expectedNano: 7, capNano: 1_000_000 },
      });
      const token = claim();
      clock.now += 2000;
      core.cancel(id, "account");
      clock.now += defaultRules.leaseMs;
      core.judge(SESSION, [id], { alive: false, remainingMs: 0 });
      expect(cost()).toEqual(["final", 8010]);
      const reports: UsageReport[] = [{ id, token, attempt: 1, outcome: "stopped", usage: { ...usage, gpuUs } }];
      core.deliver([], SESSION, LANES, reports);
      expect(cost()).toEqual(["final", nano]);
      const row = core.store.get(id);
      if (row === null) throw new Error("the row is gone");
      row.usage = row.usage?.map((entry, n) => ({ ...entry, n }));
      const records = usageRecords(row, new Set([0, 1]));
      expect(records.map(({ record }) => "costNano" in record && record.costNano)).toEqual([8010, nano - 8010]);
    },
  );

  it("counts the attempt that ended it alone, whatever was lost before, and reports that come late", () => {
    const { core, claim, send, report, cost, id } = setUp();
    const first = claim();
    core.judge(SESSION, [id], { alive: false, remainingMs: 0 });
    const second = claim();
    send(second, { type: "succeeded", output: 1, usage: { ...usage, gpuUs: 500_000 } });
    expect(cost()).toEqual(["final", 2010]);
    report(first, 1, "lost");
    expect(core.store.get(id)?.usage?.map(({ attempt }) => attempt)).toEqual([1, 2, 1]);
    expect(cost()).toEqual(["final", 2010]);
  });

  it("is nothing for a run that was handed back, also when its prediction is canceled as it waits again", () => {
    const { core, claim, send, cost, id } = setUp();
    send(claim(), { type: "released", reason: "drain", usage });
    core.cancel(id, "account");
    expect(core.store.get(id)?.usage).toMatchObject([{ attempt: 1, outcome: "stopped" }]);
    expect(cost()).toEqual(["final", 0]);
  });

  it("of a dead letter is none of the one that replays it: that is priced anew", () => {
    const { core, claim, send, id } = setUp();
    const error = { code: "model_crashed", message: "" };
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      const token = claim();
      const seq = attempt === 1 ? 0 : 1;
      if (seq === 1) send(token, { type: "starting" });
      send(token, { seq, type: "failed", kind: "crash", error, usage });
    }
    const { input } = replayableOf(core.store.get(id));
    expect(input).toMatchObject({ replayOf: id });
    expect(input).not.toHaveProperty("pricing");
    expect(core.store.get(id)?.costNano).toBe(0);
  });

  it.each([
    [
      "the model's own error",
      { type: "failed", kind: "model", error: { code: "model_error", message: "" }, usage },
      1010,
    ],
    ["a full disk", { type: "failed", kind: "model", error: { code: "disk_full", message: "" }, usage }, 0],
    ["no more than a strict budget reserved", { type: "succeeded", output: 1, usage }, 500, 500],
  ] as const)("is that of %s", (_what, event, nano, capNano?: number) => {
    const { claim, send, cost } = setUp({ price, expectedNano: 77, ...(capNano === undefined ? {} : { capNano }) });
    send(claim(), event);
    expect(cost()).toEqual(["final", nano]);
  });

  it("is at the most what a strict budget has reserved, however many attempts, units and devices there were", () => {
    const took = fc.record({
      gpuUs: fc.nat(2 ** 40),
      runMs: fc.nat(10_000),
      devices: fc.integer({ min: 1, max: 8 }),
      units: fc.dictionary(fc.constantFrom("n", "m"), fc.nat(2 ** 40)),
    });
    const step = fc.oneof(
      fc.record({ end: fc.constantFrom("released", "crash", "lost", "late"), took, waitMs: fc.nat(20_000) }),
      fc.record({ end: fc.constantFrom("succeeded", "failed", "canceled", "vanished"), took, waitMs: fc.nat(20_000) }),
    );
    const capNano = 5000;
    const dear = { ...price, perSecond: { "*": 900_000 }, perUnit: { n: 1_000_000 } };
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 6 }), (steps) => {
        const { core, clock, id, claim, send, cost, life } = setUp({ price: dear, expectedNano: 7, capNano });
        const told: number[] = [];
        const tell = () => {
          for (const { id: one, costNano } of core.settlement.take("allowance", 10))
            if (one === "money") told.push(costNano);
        };
        let seq = 0;
        for (const { end, took: some, waitMs } of steps) {
          const state = core.store.get(id)?.state;
          if (state !== "waiting") break;
          const token = claim();
          const own = { ...usage, ...some, device: "h200" };
          seq = 0;
          if (core.store.get(id)?.state === "granted") send(token, { type: "starting", seq: (seq += 1) - 1 });
          send(token, { type: "output", seq: (seq += 1) - 1, chunk: "a" });
          clock.now += waitMs;
          const reports: UsageReport[] = [
            { id, token, attempt: core.store.get(id)?.attempt ?? 1, outcome: "stopped", usage: own },
          ];
          if (end === "succeeded") send(token, { type: "succeeded", output: 1, seq, usage: own });
          else if (end === "failed") {
            send(token, {
              type: "failed",
              kind: "model",
              error: { code: "model_error", message: "" },
              seq,
              usage: own,
            });
          } else if (end === "crash") {
            send(token, {
              type: "failed",
              kind: "crash",
              error: { code: "model_crashed", message: "" },
              seq,
              usage: own,
            });
          } else if (end === "released") send(token, { type: "released", reason: "drain", seq, usage: own });
          else if (end === "lost") core.judge(SESSION, [id], { alive: false, remainingMs: 0 });
          else {
            core.cancel(id, "account");
            if (end === "vanished" || end === "late") core.judge(SESSION, [id], { alive: false, remainingMs: 0 });
            tell();
            if (end !== "vanished") core.deliver([], SESSION, LANES, reports);
          }
          tell();
        }
        expect(Number(cost()[1])).toBeLessThanOrEqual(capNano);
        expect(Math.max(0, ...told)).toBeLessThanOrEqual(capNano);
        expect(life().store.get(id)?.costNano ?? 0).toBeLessThanOrEqual(capNano);
      }),
      { numRuns: 100 },
    );
  });

  it("is nothing where nothing ran, and isn't noted where there is no price", () => {
    const waiting = setUp();
    waiting.core.cancel(waiting.id, "account");
    expect(waiting.cost()).toEqual(["final", 0]);
    expect(waiting.given()).toEqual([
      ["money", 0],
      ["slot", 0],
    ]);
    const cached = setUp(undefined, { answer: { output: 1, yielded: false } });
    expect([cached.cost(), cached.given()]).toEqual([
      ["final", 0],
      [
        ["money", 0],
        ["slot", 0],
      ],
    ]);
    const free = setUp(null);
    free.send(free.claim(), { type: "succeeded", output: 1, usage });
    expect(free.cost()).toEqual([undefined, undefined]);
    expect(free.core.store.get(free.id)).not.toHaveProperty("costNano");
  });
});
