/**
 * Strict budgets of three accounts, two keys of each and two models, over the ledger objects, while one account is
 * greedy and its ledger is slow.
 */
import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { budget as budgetPlugin } from "../../plugins/budget/budget.ts";
import { aCall } from "../../plugins/kernel/conformance.ts";
import type { PredictionCall, Verdict } from "../../plugins/kernel/phases.ts";
import type { ReservationEnd } from "../../plugins/kernel/reservations.ts";
import type { Budget } from "../../plugins/kernel/services.ts";
import { buildSnapshot } from "../../plugins/kernel/snapshot.ts";
import { createAllowances } from "../../src/allowance/allowances.ts";
import { createObjectStore } from "../../src/allowance/object-store.ts";
import { createAllowanceService } from "../../src/allowance/service.ts";
import type { AllowanceStore } from "../../src/allowance/types.ts";
import type { Env } from "../../src/env.ts";

const edge = env as Env;
const price = { id: "1:*", currency: "USD", perSecond: { "*": 1000 }, perUnit: {}, perRequest: 0, minimum: 0 };
/** What each run reserves: it may take a second. */
const MOST = 1000;
const accounts = ["greedy", "first", "second"];
const keys = ["a", "b"];
const models = ["large", "small"];
/** So many runs, of all of which each takes its time. */
const limits = { account: 12, key: 9, model: 30 };
const EACH = 6;
const GREEDY = 40;

type One = { account: string; key: string; model: string };
const everyone = accounts.flatMap((account) =>
  keys.flatMap((key) => models.map((model): One => ({ account, key: `${account}-${key}`, model }))),
);

function strict(scope: Budget["scope"], of: string, subject: string): Budget {
  return {
    ...{ scope, of, subject: `strict-${subject}`, bucket: `${scope}:${of} month USD`, period: "month" },
    ...{ currency: "USD", limitNano: limits[scope] * MOST, isSoft: false, isStrict: true, alert: null },
  };
}
const budgetsOf = ({ account, key, model }: One): Budget[] => [
  strict("account", account, account),
  strict("key", key, account),
  strict("model", model, model),
];

/** Isolates that share nothing but the ledgers; `slow` are those that answer nothing until it resolves. */
function world(slow: ReadonlyMap<string, Promise<void>>) {
  const ledgers = createObjectStore(edge.LEDGER);
  const store: AllowanceStore = {
    async take(subject, groups) {
      await slow.get(subject);
      return ledgers.take(subject, groups);
    },
    settle: (subject, ends) => ledgers.settle(subject, ends),
  };
  const isolates = Array.from({ length: 4 }, () => {
    const objects = createAllowances(createObjectStore(edge.ALLOWANCE));
    const allowance = createAllowanceService({ objects, ledger: createAllowances(store), redis: null });
    const of: (principal: { accountId: string; credentialId: string }, model: string) => Promise<Budget[]> = async (
      { accountId: account, credentialId: key },
      model,
    ) => budgetsOf({ account, key, model: model.split("/")[1] ?? "" });
    const hook = buildSnapshot(1, [budgetPlugin], { budget: {} }, { allowance, budgets: { of } });
    return { allowance, hook: hook.then(({ hooks }) => hooks.admit[0]) };
  });
  let count = 0;
  return {
    async admit({ account, key, model }: One): Promise<Verdict<PredictionCall>> {
      const hook = await isolates[(count += 1) % isolates.length]?.hook;
      const call = aCall();
      const principal = { ...call.principal, accountId: account, credentialId: key };
      const verdict = await hook?.run({
        ...{ ...call, principal, model: { ...call.model, name: model } },
        ...{ totalTimeoutMs: MOST, pricing: { price, expectedNano: 1 } },
      });
      if (verdict === undefined) throw new Error("there is no hook");
      return verdict;
    },
    /** Settles it with what it cost, in another isolate than its own. */
    async end(verdict: Verdict<PredictionCall>, costNano: number): Promise<void> {
      if (verdict.verdict !== "continue" || verdict.reservation === undefined) throw new Error("it is not reserved");
      const { predictionId, model, principal } = aCall();
      const told = { predictionId, model, accountId: principal.accountId, plugin: "budget", cost: 1, metrics: {} };
      const ended: ReservationEnd = {
        ...{ ...verdict.reservation, ...told, how: "settle", status: "succeeded", attempt: 1, costNano },
      };
      await isolates[(count += 1) % isolates.length]?.allowance.end([ended]);
    },
  };
}

/** What has been settled, and is reserved, of each budget, in runs that took all of their time. */
async function read(): Promise<Map<string, readonly number[]>> {
  const all = new Map(everyone.flatMap(budgetsOf).map((one) => [one.bucket, one]));
  const states = [...all.values()].map(async ({ subject, bucket, limitNano }) => {
    const spec = { algorithm: "calendar", limit: limitNano, period: "month" } as const;
    const [state] = await edge.LEDGER.getByName(subject).read([{ bucket, spec }]);
    return [bucket, [state?.settled ?? 0, state?.reserved ?? 0]] as const;
  });
  return new Map(await Promise.all(states));
}

it("are overspent by nothing and hold up no other account, while a greedy one's ledger is slow", async () => {
  const open = Promise.withResolvers<void>();
  const { admit, end } = world(new Map([["strict-greedy", open.promise]]));
  const answered: { one: One; verdict: Verdict<PredictionCall> }[] = [];
  const ask = async (one: One) => void answered.push({ one, verdict: await admit(one) });
  const times = (count: number) => Array.from({ length: count });
  const [greedy, others] = [true, false].map((is) => everyone.filter(({ account }) => (account === "greedy") === is));
  const waiting = (greedy ?? []).flatMap((one) => times(GREEDY / 4).map(() => ask(one)));
  await Promise.all((others ?? []).flatMap((one) => times(EACH).map(() => ask(one))));
  // All of the others have their answer, which no slow ledger holds up.
  expect(answered.filter(({ one }) => one.account === "greedy")).toEqual([]);
  expect(answered).toHaveLength(8 * EACH);
  open.resolve();
  await Promise.all(waiting);

  const taken = answered.filter(({ verdict }) => verdict.verdict === "continue");
  for (const { verdict } of answered)
    if (verdict.verdict !== "continue") expect(verdict).toMatchObject({ verdict: "reject", code: "budget_spent" });
  const runsOf = (bucket: string) =>
    taken.filter(({ one }) => budgetsOf(one).some((budget) => budget.bucket === bucket));
  // Those alone that run are reserved for, whichever limit refused the rest.
  for (const [bucket, state] of await read())
    expect([bucket, state]).toEqual([bucket, [0, runsOf(bucket).length * MOST]]);
  expect(runsOf("account:greedy month USD").length).toBeGreaterThan(0);

  const costOf = (index: number) => (index % 3 === 0 ? MOST / 2 : MOST);
  await Promise.all(taken.map(async ({ verdict }, index) => end(verdict, costOf(index))));
  for (const [bucket, state] of await read()) {
    const spent = taken.reduce(
      (sum, { one }, index) => sum + (budgetsOf(one).some((budget) => budget.bucket === bucket) ? costOf(index) : 0),
      0,
    );
    expect([bucket, state]).toEqual([bucket, [spent, 0]]);
    const [scope = ""] = bucket.split(":");
    expect(spent).toBeLessThanOrEqual(limits[scope as keyof typeof limits] * MOST);
  }
});
