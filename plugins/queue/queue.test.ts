import { describe, expect, it } from "vitest";
import type { AllowanceAnswer, AllowanceService, Charge } from "../kernel/allowance.ts";
import { aCall, describePlugin } from "../kernel/conformance.ts";
import type { LaneOutlook, LaneService } from "../kernel/services.ts";
import { buildSnapshot } from "../kernel/snapshot.ts";
import type { PredictionCall } from "../kernel/phases.ts";
import { queue } from "./queue.ts";

const calm: LaneOutlook = { waiting: 0, ownWaiting: 0, position: 0, etaMs: 0, startsPerSecond: 2, runMs: 10 };

function servicesOf(outlook: Partial<LaneOutlook> = {}, slot: Partial<AllowanceAnswer> = {}) {
  const asked = { lanes: 0, charges: [] as Charge[] };
  const lanes: LaneService = {
    outlook: async () => {
      asked.lanes += 1;
      return { ...calm, ...outlook };
    },
  };
  const allowance: AllowanceService = {
    stores: ["objects"],
    reserve: (_store, _expiresAt, charges) => {
      asked.charges.push(...charges);
      const reservation = { service: "allowance", id: "r", data: null } as const;
      return { ok: true, reservation, states: [], ...slot } as AllowanceAnswer;
    },
  };
  return { asked, services: { lanes, allowance } };
}

async function admit(config: object, { services }: ReturnType<typeof servicesOf>, call: Partial<PredictionCall> = {}) {
  const snapshot = await buildSnapshot(1, [queue], { queue: { config } }, services);
  return snapshot.hooks.admit[0]?.run({ ...aCall(), ...call });
}

describePlugin(queue, {
  services: servicesOf().services,
  badConfigs: [
    { depth: -1 },
    { maxWaitMs: "long" },
    { waiting: 1e12 + 1 },
    { plans: [{ name: "p", accounts: [] }] },
    { plans: [{ name: "p", accounts: ["a"], priority: "highest" }] },
    {
      plans: [
        { name: "p", accounts: ["a"] },
        { name: "q", accounts: ["a"] },
      ],
    },
  ],
});

describe("queue", () => {
  it("asks nobody when it bounds nothing", async () => {
    const world = servicesOf();
    expect(await admit({}, world)).toEqual({ verdict: "continue" });
    expect(world.asked).toEqual({ lanes: 0, charges: [] });
  });

  it.each([
    ["lane_full", { depth: 100 }, { waiting: 100 }, 500],
    ["lane_full", { depth: 100 }, { waiting: 119 }, 10_000],
    ["lane_full", { depth: 0 }, { waiting: 0, startsPerSecond: null }, 10_000],
    ["queue_full", { waiting: 3 }, { ownWaiting: 3, etaMs: 8000 }, 2000],
    ["queue_full", { waiting: 0 }, { ownWaiting: 0, etaMs: null }, 10_000],
    ["wait_too_long", { maxWaitMs: 5000 }, { etaMs: 5001 }, 1],
    ["wait_too_long", { maxWaitMs: 5000 }, { etaMs: 65_000 }, 60_000],
    ["wait_too_long", { refuseLate: true }, { etaMs: 70_000 }, 10_000],
  ])(
    "refuses with %s by %j when the lane says %j, and says when to come back: %i ms",
    async (code, config, told, ms) => {
      expect(await admit(config, servicesOf(told))).toMatchObject({ verdict: "reject", code, retryAfterMs: ms });
    },
  );

  it.each([
    [{ depth: 100 }, { waiting: 99 }],
    [{ waiting: 3 }, { ownWaiting: 2 }],
    [{ maxWaitMs: 5000 }, { etaMs: 5000 }],
    [{ maxWaitMs: 5000 }, { etaMs: null, position: null }],
    [{ refuseLate: true }, { etaMs: 60_000 }],
    [
      { depth: 1e12, maxWaitMs: 1e12, waiting: 1e12 },
      { waiting: 1e9, etaMs: 1e9, ownWaiting: 1e9 },
    ],
  ])("lets in by %j when the lane says %j", async (config, told) => {
    expect(await admit(config, servicesOf(told))).toEqual({ verdict: "continue" });
  });

  it("bounds what an account has waiting and running by a slot of the allowance service", async () => {
    const world = servicesOf();
    expect(await admit({ unfinished: 7 }, world)).toMatchObject({ verdict: "continue", reservation: { id: "r" } });
    expect(world.asked.charges).toMatchObject([
      { subject: "account:account-1", spec: { limit: 7 }, unit: "concurrency" },
    ]);
    const full = servicesOf({}, { ok: false, by: 0, retryAfterMs: 1234 });
    expect(await admit({ unfinished: 7 }, full)).toMatchObject({ code: "queue_full", retryAfterMs: 1234 });
  });

  it("takes no slot for what the lane is too full for", async () => {
    const world = servicesOf({ waiting: 5 });
    await admit({ depth: 5, unfinished: 7 }, world);
    expect(world.asked.charges).toEqual([]);
  });

  it("goes by the plan of the account, and by what holds for all where it says nothing", async () => {
    const config = { depth: 10, waiting: 5, plans: [{ name: "gold", accounts: ["acme"], depth: 20 }] };
    expect(await admit(config, servicesOf({ waiting: 15 }))).toEqual({ verdict: "continue" });
    expect(await admit(config, servicesOf({ ownWaiting: 5 }))).toMatchObject({ code: "queue_full" });
    const other = { principal: { ...aCall().principal, accountId: "b", accountName: "b" } };
    expect(await admit(config, servicesOf({ waiting: 15 }), other)).toMatchObject({ code: "lane_full" });
  });

  it.each([
    ["low", "high", "low"],
    ["low", "normal", "low"],
    ["normal", "normal", "normal"],
    ["normal", "high", "high"],
    ["high", "normal", "high"],
    ["high", "low", "low"],
  ] as const)("a plan of %s makes %s %s", async (priority, asked, given) => {
    const plans = [{ name: "p", accounts: ["account-1"], priority }];
    const verdict = await admit({ plans }, servicesOf(), { priority: asked });
    const subject = verdict !== undefined && "subject" in verdict ? verdict.subject : undefined;
    expect(subject?.priority ?? asked).toBe(given);
  });
});
