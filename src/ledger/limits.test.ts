/**
 * Several limits of one prediction, over their real books and ledgers: a refusal by one leaves no other charged,
 * however many ask at once, in whatever order answers come or are lost.
 */
import { DatabaseSync } from "node:sqlite";
import fc from "fast-check";
import { expect, it } from "vitest";
import type { BucketSpec, Charge, MoneySpec } from "../../plugins/kernel/allowance.ts";
import { createAllowances } from "../allowance/allowances.ts";
import { createBook } from "../allowance/book.ts";
import type { AllowanceStore, Reservation } from "../allowance/types.ts";
import type { SqlRow } from "../shard/sql.ts";
import { createLedger } from "./ledger.ts";
import { createLedgerRows } from "./rows.ts";

const NOW = Date.UTC(2026, 10, 29, 12);
const CALLERS = 200;
const ISOLATES = 3;
const WINDOW: BucketSpec = { algorithm: "fixed-window", limit: 0, windowMs: 86_400_000 };

const money = (subject: string, bucket: string, spec: MoneySpec): Charge => {
  return { subject, bucket: `${bucket} USD`, unit: "money", spec, amount: 0, held: true };
};
const calendar = (limit: number, period: "day" | "month" | "all"): MoneySpec => ({
  algorithm: "calendar",
  limit,
  period,
});

/** The account's, its key's and the model's, of a day, a month and in all, and a balance: in two objects. */
function chargesOf(limits: readonly number[], paid: number): Charge[] {
  const periods = ["day", "month", "all"] as const;
  const budgets = ["account:a", "key:k", "model:o/m"].map((of, index) => {
    const period = periods[index] ?? "all";
    const subject = of === "model:o/m" ? of : "account:a";
    return money(subject, `${of} ${period}`, calendar(limits[index] ?? 0, period));
  });
  return paid === 0
    ? budgets
    : [...budgets, money("account:a", "account:a balance", { algorithm: "balance", limit: 0 })];
}

/** Objects whose answers come when they like; every `lossEvery`th is lost after it was decided. */
function objects(lossEvery: number, delays: readonly number[]) {
  const ledgers = new Map<string, ReturnType<typeof createLedger>>();
  const ledgerOf = (subject: string) => {
    const known = ledgers.get(subject);
    if (known !== undefined) return known;
    const database = new DatabaseSync(":memory:");
    const ledger = createLedger(createLedgerRows((sql, ...bound) => database.prepare(sql).all(...bound) as SqlRow[]));
    ledgers.set(subject, ledger);
    return ledger;
  };
  let calls = 0;
  const turns = async (): Promise<void> => {
    for (let left = delays[calls % delays.length] ?? 0; left > 0; left -= 1) await Promise.resolve();
  };
  const store: AllowanceStore = {
    async take(subject, groups) {
      calls += 1;
      const isLost = lossEvery > 0 && calls % lossEvery === 0;
      await turns();
      const answers = ledgerOf(subject).take(groups, NOW);
      await turns();
      if (isLost) throw new Error("the answer was lost");
      return answers;
    },
    async settle(subject, settlements) {
      await turns();
      ledgerOf(subject).settle(settlements, NOW);
    },
  };
  return { store, ledgerOf };
}

it("charges all limits of who is let in, and none of who is refused, by 200 at once", async () => {
  const scenario = fc.record({
    limits: fc.tuple(fc.nat(2000), fc.nat(2000), fc.nat(2000)),
    paid: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 2000 })),
    requests: fc.integer({ min: 1, max: 150 }),
    order: fc.shuffledSubarray([0, 1, 2, 3], { minLength: 4, maxLength: 4 }),
    amounts: fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 20 }),
    delays: fc.array(fc.nat(4), { minLength: 1, maxLength: 9 }),
    lossEvery: fc.constantFrom(0, 0, 5, 11),
    limitsFirst: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(scenario, async ({ limits, paid, requests, order, amounts, delays, lossEvery, limitsFirst }) => {
      const { store, ledgerOf } = objects(lossEvery, delays);
      const book = createBook({ buckets: [], slots: [] });
      const rates = createAllowances(
        {
          take: (_subject, groups) => Promise.resolve(book.take(groups, NOW)),
          settle: (_subject, ends) => Promise.resolve(void book.settle(ends, NOW)),
        },
        () => NOW,
      );
      const isolates = Array.from({ length: ISOLATES }, () => createAllowances(store, () => NOW));
      const all = chargesOf(limits, paid);
      const budgets = order.flatMap((index) => all[index] ?? []);
      if (paid > 0) ledgerOf("account:a").payIn("p", { bucket: "account:a balance USD", nano: paid, at: NOW, why: "" });
      const rate: Charge = {
        ...{ subject: "account:a", bucket: "r", unit: "requests", amount: 1 },
        spec: { ...WINDOW, limit: requests },
      };
      /** As plugins of one request do: what one refuses, those before it have back. */
      const admit = async (caller: number): Promise<Reservation | null> => {
        const amount = amounts[caller % amounts.length] ?? 1;
        const id = `c${caller}`;
        const takeMoney = async () => {
          const own = budgets.map((one) => ({ ...one, amount }));
          return (isolates[caller % ISOLATES] ?? rates).reserve(id, NOW + 60_000, own);
        };
        const takeRate = async () => rates.reserve(`${id}r`, NOW + 60_000, [rate]);
        const [first, second] = limitsFirst ? [takeRate, takeMoney] : [takeMoney, takeRate];
        const one = await first().catch(() => null);
        if (one?.ok !== true) return null;
        const two = await second().catch(() => null);
        const [ofRate, ofMoney] = limitsFirst ? [one, two] : [two, one];
        if (two?.ok === true && ofMoney?.ok === true) return ofMoney.reservation;
        const undone = limitsFirst ? rates : (isolates[caller % ISOLATES] ?? rates);
        const used = one.reservation.taken.map(() => 0);
        await undone.settle([{ reservation: one.reservation, used }]);
        expect(ofRate === null || ofMoney === null || !ofRate.ok || !ofMoney.ok).toBe(true);
        return null;
      };
      const admitted = (await Promise.all(Array.from({ length: CALLERS }, async (_, caller) => admit(caller)))).flatMap(
        (one) => one ?? [],
      );
      const reserved = admitted.reduce((sum, { taken }) => sum + (taken[0]?.amount ?? 0), 0);
      const states = () => all.map((one) => ledgerOf(one.subject).read(one.bucket, one.spec as MoneySpec, NOW));
      for (const state of states()) expect([state.settled, state.reserved]).toEqual([0, reserved]);
      for (const [index, limit] of limits.entries())
        if (all[index] !== undefined) expect(reserved).toBeLessThanOrEqual(limit);
      if (paid > 0) expect(reserved).toBeLessThanOrEqual(paid);
      expect(admitted.length).toBeLessThanOrEqual(requests);
      // What was refused left room for all that fits: whoever needs 1 has it until nothing is left.
      const left = Math.min(...limits, ...(paid > 0 ? [paid] : [])) - reserved;
      const last = await createAllowances(objectsOf(store), () => NOW).reserve(
        "last",
        NOW + 60_000,
        budgets.map((one) => ({ ...one, amount: Math.max(1, left) })),
      );
      expect(last.ok).toBe(left >= 1);
      // Overspend is what was in flight and cost more than it had reserved.
      let over = 0;
      for (const [index, reservation] of admitted.entries()) {
        const cost = (index * 37) % 90;
        over += Math.max(0, cost - (reservation.taken[0]?.amount ?? 0));
        await isolates[0]?.settle([{ reservation, used: reservation.taken.map(() => cost) }]);
      }
      for (const [index, { settled }] of states().entries()) {
        expect(settled).toBeLessThanOrEqual((limits[index] ?? paid) + over);
      }
    }),
    { numRuns: 20 },
  );
});

/** The same objects, none of whose answers is lost. */
function objectsOf({ take, settle }: AllowanceStore): AllowanceStore {
  const again: AllowanceStore["take"] = async (subject, groups) =>
    take(subject, groups).catch(() => again(subject, groups));
  return { take: again, settle };
}
