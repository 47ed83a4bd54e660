import { describe, expect, it } from "vitest";
import type { AllowanceAnswer, AllowanceService, Charge } from "../kernel/allowance.ts";
import { aCall, describePlugin } from "../kernel/conformance.ts";
import type { PredictionCall } from "../kernel/phases.ts";
import type { Budget, BudgetDirectory } from "../kernel/services.ts";
import { buildSnapshot } from "../kernel/snapshot.ts";
import { budget } from "./budget.ts";

const price = { id: "1:*", currency: "USD", perSecond: { cpu: 10, h200: 30 }, perUnit: {}, perRequest: 5, minimum: 0 };
const priced: PredictionCall = { ...aCall(), totalTimeoutMs: 120_000, pricing: { price, expectedNano: 35 } };
const monthly: Budget = {
  ...{ scope: "account", of: "acme", subject: "account:a", bucket: "account:a month USD", period: "month" },
  ...{ limitNano: 1000, currency: "USD", isSoft: false, isStrict: false, alert: null },
};
const daily: Budget = { ...monthly, period: "day", bucket: "account:a day USD" };
const balance: Budget = { ...monthly, period: "balance", bucket: "account:a balance USD", limitNano: 0 };

const open = (charges: readonly Charge[]): AllowanceAnswer => ({
  ...{ ok: true, reservation: { service: "allowance", id: "r", data: null } },
  states: charges.map(() => ({ remaining: 1, resetMs: 0 })),
});

function services(budgets: readonly Budget[], asked: Charge[] = [], answer = open) {
  const allowance: AllowanceService = {
    stores: ["objects", "ledger"],
    reserve(store, _expiresAt, charges) {
      expect(store).toBe("ledger");
      asked.push(...charges);
      return answer(charges);
    },
  };
  const directory: BudgetDirectory = { of: () => Promise.resolve(budgets) };
  return { allowance, budgets: directory };
}

async function admit(given: ReturnType<typeof services>, call: PredictionCall = priced, config: object = {}) {
  const snapshot = await buildSnapshot(1, [budget], { budget: { config } }, given);
  const [hook] = snapshot.hooks.admit;
  return hook?.run(call);
}

describePlugin(budget, {
  services: services([monthly]),
  badConfigs: [{ strict_balance: "yes" }, { strictBalance: true }],
  subjects: { admit: [priced] },
});

describe("budget", () => {
  it("reserves what it should cost of all budgets at once", async () => {
    const asked: Charge[] = [];
    const alert = { url: "https://receiver.test/", account: "a", of: "account:acme" };
    const soft = { ...daily, isSoft: true, alert };
    expect(await admit(services([monthly, balance, soft], asked))).toMatchObject({ verdict: "continue" });
    expect(asked.map(({ bucket, unit, amount, held, spec }) => [bucket, unit, amount, held, spec])).toEqual([
      ["account:a month USD", "money", 35, true, { algorithm: "calendar", limit: 1000, period: "month" }],
      ["account:a balance USD", "money", 35, true, { algorithm: "balance", limit: 0 }],
      [
        "account:a day USD",
        "money",
        35,
        true,
        { algorithm: "calendar", limit: 1000, period: "day", soft: true, alert },
      ],
    ]);
  });

  it("asks nobody over what costs nothing, or where there is no budget", async () => {
    const asked: Charge[] = [];
    const { pricing: _none, ...free } = priced;
    expect(await admit(services([monthly], asked), free)).toEqual({ verdict: "continue" });
    expect(await admit(services([], asked))).toEqual({ verdict: "continue" });
    expect(asked).toEqual([]);
  });

  it("reserves of a strict one what a run can cost on the dearest device, and lets it be billed no more", async () => {
    const asked: Charge[] = [];
    const verdict = await admit(services([{ ...monthly, isStrict: true }, daily], asked));
    expect(asked.map(({ amount }) => amount)).toEqual([120 * 30 + 5, 35]);
    expect(verdict).toMatchObject({ subject: { pricing: { capNano: 3605, expectedNano: 35 } } });
    const limited: Charge[] = [];
    await admit(services([balance], limited), { ...priced, runLimitMs: 10_000 }, { strict_balance: true });
    expect(limited.map(({ amount }) => amount)).toEqual([305]);
  });

  it("reserves of a strict one the time of all devices that its like ran on", async () => {
    const asked: Charge[] = [];
    const call: PredictionCall = { ...priced, pricing: { price, expectedNano: 35, devices: 4 } };
    const verdict = await admit(services([{ ...monthly, isStrict: true }], asked), call);
    expect(asked.map(({ amount }) => amount)).toEqual([4 * 120 * 30 + 5]);
    expect(verdict).toMatchObject({ subject: { pricing: { capNano: 4 * 120 * 30 + 5 } } });
  });

  it("says with a balance who is told that it runs low", async () => {
    const asked: Charge[] = [];
    const alert = { url: "https://receiver.test/", account: "a", of: "account:acme", belowNano: 9 };
    await admit(services([{ ...balance, alert }], asked));
    expect(asked).toMatchObject([{ spec: { algorithm: "balance", limit: 0, alert } }]);
    await admit(services([{ ...balance, alert, isQuiet: true }], asked));
    expect(asked.at(-1)?.spec).toEqual({ algorithm: "balance", limit: 0, quiet: true });
  });

  it("makes nothing free that is priced by units alone: no strict one can hold it", async () => {
    const byUnits = { ...price, perSecond: { "*": 0 }, perUnit: { output_token_count: 600 } };
    const call = { ...priced, pricing: { price: byUnits, expectedNano: 5 } };
    const asked: Charge[] = [];
    const verdicts = [
      await admit(services([{ ...monthly, isStrict: true }], asked), call),
      await admit(services([balance], asked), call, { strict_balance: true }),
    ];
    for (const verdict of verdicts) expect(verdict).toMatchObject({ verdict: "reject", code: "budget_unbounded" });
    expect(asked).toEqual([]);
    expect(await admit(services([monthly, balance], asked), call)).toMatchObject({ verdict: "continue" });
  });

  it("refuses with what is left and until when", async () => {
    const refusing = (by: number) =>
      services([monthly, balance], [], (charges) => ({
        ...{ ok: false, by, retryAfterMs: by === 0 ? 5000 : null },
        states: charges.map(() => ({ remaining: 12, resetMs: 0 })),
      }));
    const message = "The budget of the account acme, 0.000001000 USD a month, has 0.000000012 USD left";
    expect(await admit(refusing(0))).toMatchObject({
      ...{ verdict: "reject", code: "budget_spent", retryAfterMs: 5000 },
      message: expect.stringContaining(message) as string,
    });
    const ofModel: Budget = { ...monthly, scope: "model", of: "acme/echo" };
    const others = services([ofModel], [], () => ({ ok: false, by: 0, retryAfterMs: null, states: [] }));
    expect(await admit(others)).toMatchObject({ message: "The budget of the model acme/echo has too little left." });
    const empty = await admit(refusing(1));
    expect(empty).toMatchObject({ verdict: "reject", code: "balance_empty" });
    expect(empty).not.toHaveProperty("retryAfterMs");
  });

  it("refuses where it can't count the price, unless the budget only tells", async () => {
    const euros = { ...monthly, currency: "EUR" };
    expect(await admit(services([euros]))).toMatchObject({ verdict: "reject", code: "budget_currency" });
    expect(await admit(services([{ ...euros, isSoft: true }]))).toEqual({ verdict: "continue" });
  });
});
