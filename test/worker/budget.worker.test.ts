/** The plugin `budget` over the ledger objects: what is money is exact, however many isolates ask at once. */
import { env } from "cloudflare:workers";
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { expect, it, vi } from "vitest";
import { budget as budgetPlugin } from "../../plugins/budget/budget.ts";
import { aCall } from "../../plugins/kernel/conformance.ts";
import type { Judgement, PredictionCall, Reservation, Verdict } from "../../plugins/kernel/phases.ts";
import type { ReservationEnd } from "../../plugins/kernel/reservations.ts";
import type { Budget } from "../../plugins/kernel/services.ts";
import { buildSnapshot } from "../../plugins/kernel/snapshot.ts";
import { createAllowances } from "../../src/allowance/allowances.ts";
import { createObjectStore } from "../../src/allowance/object-store.ts";
import { createAllowanceService } from "../../src/allowance/service.ts";
import type { AllowanceStore } from "../../src/allowance/types.ts";
import type { Env } from "../../src/env.ts";
import type { LedgerObject } from "../../src/ledger/ledger-object.ts";
import { PATIENCE } from "../patience.ts";

const edge = env as Env;
const price = { id: "1:*", currency: "USD", perSecond: { "*": 1000 }, perUnit: {}, perRequest: 0, minimum: 0 };
let subjects = 0;

/** Isolates that share nothing but the objects, over budgets of an account or of a model of its own. */
function world(...budgets: (Partial<Budget> & Pick<Budget, "limitNano">)[]) {
  const own = `${(subjects += 1)}`;
  const known = budgets.map((one): Budget => {
    const { scope = "account", period = "month" } = one;
    const subject = `${scope}:money-${own}`;
    return {
      ...{ scope, of: own, subject, bucket: `${subject} ${period} USD`, period, currency: "USD" },
      ...{ isSoft: false, isStrict: false, alert: null },
      ...one,
    };
  });
  const ledgers = createObjectStore(edge.LEDGER);
  const away = new Set<string>();
  const store: AllowanceStore = {
    take: async (subject, groups) =>
      away.has(subject) ? Promise.reject(new Error("the ledger is away")) : ledgers.take(subject, groups),
    settle: (subject, ends) => ledgers.settle(subject, ends),
  };
  const isolate = () => {
    const stores = {
      objects: createAllowances(createObjectStore(edge.ALLOWANCE)),
      ledger: createAllowances(store),
      redis: null,
    };
    const allowance = createAllowanceService(stores);
    const services = { allowance, budgets: { of: () => Promise.resolve(known) } };
    const hook = buildSnapshot(1, [budgetPlugin], { budget: {} }, services).then(({ hooks }) => hooks.admit[0]);
    return { allowance, hook };
  };
  const isolates = Array.from({ length: 4 }, isolate);
  let count = 0;
  const admit = async (expectedNano: number, totalTimeoutMs = 1000): Promise<Verdict<PredictionCall>> => {
    const hook = await isolates[(count += 1) % isolates.length]?.hook;
    const verdict = await hook?.run({ ...aCall(), totalTimeoutMs, pricing: { price, expectedNano } });
    if (verdict === undefined) throw new Error("there is no hook");
    return verdict;
  };
  const end = async (verdict: Verdict<PredictionCall>, costNano: number, more: Partial<ReservationEnd> = {}) => {
    const { predictionId, model, principal } = aCall();
    const told = { predictionId, model, accountId: principal.accountId, plugin: "budget", cost: 1, metrics: {} };
    const ending = { how: "settle", status: "succeeded", attempt: 1, costNano } as const;
    await isolates[0]?.allowance.end([{ ...reservationOf(verdict), ...told, ...ending, ...more }]);
  };
  const read = async (index = 0) => {
    const one = known[index];
    if (one === undefined) throw new Error("there is no such budget");
    const spec = { algorithm: "calendar", limit: one.limitNano, period: "month" } as const;
    const [state] = await edge.LEDGER.getByName(one.subject).read([{ bucket: one.bucket, spec }]);
    return [state?.settled, state?.reserved];
  };
  return { admit, end, read, away, subjects: known.map(({ subject }) => subject), subject: known[0]?.subject ?? "" };
}

function reservationOf(verdict: Judgement | Verdict<PredictionCall>): Reservation {
  if (verdict.verdict === "continue" && verdict.reservation !== undefined) return verdict.reservation;
  throw new Error(`not reserved: ${verdict.verdict}`);
}

const isTaken = ({ verdict }: { verdict: string }): boolean => verdict === "continue";

it("lets a strict budget be overspent by nothing, by 200 at once over several isolates", async () => {
  // Each may run for a second: a thousand nano-units at the most.
  const { admit, end, read } = world({ limitNano: 50_500, isStrict: true });
  const verdicts = await Promise.all(Array.from({ length: 200 }, () => admit(3)));
  const taken = verdicts.filter(isTaken);
  expect(taken).toHaveLength(50);
  expect(taken[0]).toMatchObject({ subject: { pricing: { capNano: 1000 } } });
  await Promise.all(taken.map((one, index) => end(one, index % 2 === 0 ? 1000 : 400)));
  expect(await read()).toEqual([25 * 1000 + 25 * 400, 0]);
});

it("is overspent by no more than what was in flight costs beyond what was reserved for it", async () => {
  const { admit, end, read } = world({ limitNano: 1000 });
  const taken = (await Promise.all(Array.from({ length: 30 }, () => admit(100)))).filter(isTaken);
  expect(taken).toHaveLength(10);
  await Promise.all(taken.map((one) => end(one, 170)));
  expect(await read()).toEqual([1700, 0]);
  expect(isTaken(await admit(0))).toBe(false);
});

it("settles each once, also when the object is gone in between, and gives all back of what never ran", async () => {
  const { admit, end, read, subject } = world({ limitNano: 10_000 });
  const [ran, never, refused] = [await admit(100), await admit(200), await admit(300)];
  await evictDurableObject(edge.LEDGER.getByName(subject));
  expect(await read()).toEqual([0, 600]);
  for (let call = 0; call < 3; call += 1) {
    await end(ran, 70);
    await end(never, 0, { how: "release", status: "canceled", attempt: 0 });
    await end(refused, 0, { how: "release", status: null, attempt: 0 });
    await evictDurableObject(edge.LEDGER.getByName(subject));
  }
  expect(await read()).toEqual([70, 0]);
});

it("takes the difference to what was estimated, once, also when the object is gone in between", async () => {
  const { admit, end, read, subject } = world({ limitNano: 10_000 });
  const [dearer, cheaper] = [await admit(100), await admit(100)];
  for (const one of [dearer, cheaper]) await end(one, 60, { mayChange: true });
  expect(await read()).toEqual([120, 0]);
  for (let call = 0; call < 2; call += 1) {
    await evictDurableObject(edge.LEDGER.getByName(subject));
    await end(dearer, 95);
    await end(cheaper, 5);
  }
  expect(await read()).toEqual([100, 0]);
});

it("charges none of its budgets when one refuses, over several objects", async () => {
  const { admit, read } = world({ limitNano: 10_000 }, { limitNano: 250, scope: "model" });
  const verdicts = await Promise.all(Array.from({ length: 20 }, () => admit(100)));
  expect(verdicts.filter(isTaken)).toHaveLength(2);
  expect(await Promise.all([read(0), read(1)])).toEqual([
    [0, 200],
    [0, 200],
  ]);
});

it("lets nobody in while a ledger is away, and charges no other for it", async () => {
  const { admit, read, away, subjects: both } = world({ limitNano: 10_000 }, { limitNano: 10_000, scope: "model" });
  expect(budgetPlugin.failMode).toBe("closed");
  for (const subject of both) {
    away.add(subject);
    for (const refused of await Promise.allSettled(Array.from({ length: 20 }, () => admit(100))))
      expect(refused.status).toBe("rejected");
    away.clear();
  }
  expect(await Promise.all([read(0), read(1)])).toEqual([
    [0, 0],
    [0, 0],
  ]);
  expect(isTaken(await admit(100))).toBe(true);
});

it("hands each alert to the sender of its receiver once, and decides on while that sender hangs", async () => {
  const own = crypto.randomUUID();
  const host = `${own}.example.com:443`;
  const alert = { url: `https://${own}.example.com/`, account: "nobody", of: `account:${own}` };
  const { admit, end, read, subject } = world({ limitNano: 1000, alert });
  const asked: string[] = [];
  const hang = Promise.withResolvers<void>();
  await runInDurableObject(edge.LEDGER.getByName(subject), (object: object) => {
    const getByName = (name: string) => ({ enqueue: () => (asked.push(name), hang.promise) });
    Reflect.set(object, "env", { ...edge, WEBHOOKS: { getByName } });
  });
  for (const cost of [600, 300]) await end(await admit(100), cost);
  for (let call = 0; call < 3; call += 1) expect(isTaken(await admit(500))).toBe(false);
  expect(await read()).toEqual([900, 0]);
  await vi.waitFor(() => expect(asked).toEqual([host]), PATIENCE);
  const ids = await runInDurableObject(edge.LEDGER.getByName(subject), (_, { storage }) =>
    [...storage.sql.exec("SELECT id FROM alert ORDER BY id")].map(({ id }) => String(id)),
  );
  const begin = `budget_account:${own}_month_`;
  expect(ids.map((id) => id.replace(/_\d+$/u, "_"))).toEqual([100, 50, 80].map((percent) => `${begin}${percent}_`));
  hang.reject(new Error("the sender is away"));
  // What the sender did not take is handed on by the alarm, by whichever life of the object.
  await evictDurableObject(edge.LEDGER.getByName(subject));
  await runDurableObjectAlarm(edge.LEDGER.getByName(subject));
  const told = async (id: string) => (await edge.WEBHOOKS.getByName(host).deliveries(id)).length;
  await vi.waitFor(async () => expect(await Promise.all(ids.map(told))).toEqual([1, 1, 1]), PATIENCE);
  expect(await runDurableObjectAlarm(edge.LEDGER.getByName(subject))).toBe(false);
});

it("hands an alert on as soon as the one before it is told, and not by the alarm", async () => {
  const own = crypto.randomUUID();
  const alert = { url: `https://${own}.example.com/`, account: "nobody", of: `account:${own}` };
  const { admit, end, subject } = world({ limitNano: 1000, alert });
  const asked: string[] = [];
  const slow = Promise.withResolvers<void>();
  await runInDurableObject(edge.LEDGER.getByName(subject), (object: object) => {
    const enqueue = (batch: { webhookId: string }[]) => {
      asked.push(...batch.map(({ webhookId }) => /_(\d+)_\d+$/u.exec(webhookId)?.[1] ?? webhookId));
      return slow.promise;
    };
    Reflect.set(object, "env", { ...edge, WEBHOOKS: { getByName: () => ({ enqueue }) } });
  });
  await end(await admit(100), 600);
  await vi.waitFor(() => expect(asked).toEqual(["50"]), PATIENCE);
  await end(await admit(100), 300);
  expect(isTaken(await admit(500))).toBe(false);
  slow.resolve();
  await vi.waitFor(() => expect(asked.toSorted()).toEqual(["100", "50", "80"]), PATIENCE);
});

it("hands on the alerts of other receivers, however many wait for one that is away", async () => {
  const subject = `account:${crypto.randomUUID()}`;
  const asked = new Set<string>();
  const getByName = (host: string) => ({
    async enqueue() {
      asked.add(host);
      if (host.startsWith("sick")) throw new Error("the sender is away");
    },
  });
  await runInDurableObject(edge.LEDGER.getByName(subject), async (object: object, state) => {
    const { storage } = state;
    const senders = { WEBHOOKS: { getByName } } as unknown as Pick<Env, "WEBHOOKS">;
    const ledger = new (object.constructor as typeof LedgerObject)(state, { ...edge, ...senders });
    ledger.payIn("first", { bucket: "b balance USD", nano: 1, at: 0, why: "a test" });
    const alert = (host: string) =>
      JSON.stringify({ url: `https://${host}.example.com/`, account: "nobody", body: "{}", at: 0 });
    for (let n = 100; n < 350; n += 1) storage.sql.exec("INSERT INTO alert VALUES (?, ?)", `a${n}`, alert("sick"));
    storage.sql.exec("INSERT INTO alert VALUES (?, ?)", "b", alert("well"));
    await ledger.alarm();
    expect(asked).toEqual(new Set(["sick.example.com:443", "well.example.com:443"]));
    expect(storage.sql.exec("SELECT count(*) AS left FROM alert").one()).toEqual({ left: 250 });
    storage.sql.exec("DELETE FROM alert");
  });
});
