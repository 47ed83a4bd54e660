/** The allowance object in workerd: what it grants to many at once, and what it knows after its end. */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, it, vi } from "vitest";
import type { Env } from "../env.ts";
import type { Allowance } from "./allowance-object.ts";
import { createAllowances } from "./allowances.ts";
import { createObjectStore } from "./object-store.ts";
import type { BucketSpec, Charge, Decision, Reservation } from "./types.ts";

const edge = env as Env;
/** Longer than any test takes, and never at its end. */
const DAY_MS = 86_400_000;
const fixed = (limit: number): BucketSpec => ({ algorithm: "fixed-window", limit, windowMs: 100 * 365 * DAY_MS });
const charge = (subject: string, spec: BucketSpec, amount = 1): Charge => ({
  subject,
  bucket: spec.algorithm,
  unit: "cost",
  spec,
  amount,
});
const isolate = () => createAllowances(createObjectStore(edge.ALLOWANCE));
const reserve = async (charges: Charge[], from = isolate()): Promise<Decision> =>
  from.reserve(crypto.randomUUID(), Date.now() + DAY_MS, charges);

function reservationOf(decision: Decision): Reservation {
  if (decision.ok) return decision.reservation;
  throw new Error("refused");
}

it("lets exactly 100 of 200 clients at once through a fixed window of 100, over several isolates", async () => {
  const isolates = [isolate(), isolate(), isolate()];
  const decisions = await Promise.all(
    Array.from({ length: 200 }, async (_, index) => reserve([charge("many", fixed(100))], isolates[index % 3])),
  );
  expect(decisions.filter(({ ok }) => ok)).toHaveLength(100);
});

/** Its end waits for its timers. */
async function restSoon(name: string): Promise<void> {
  await runInDurableObject(edge.ALLOWANCE.getByName(name), (object: Allowance) => void (object.restMs = 10));
}

it("grants as much after it has rested and was forgotten, however often", async () => {
  const stub = edge.ALLOWANCE.getByName("rests");
  const stored = async () =>
    runInDurableObject(stub, (_object, state) => state.storage.sql.exec("SELECT value FROM bucket").one()["value"]);
  for (let call = 1; call <= 20; call += 1) {
    await restSoon("rests");
    await reserve([charge("rests", fixed(100))]);
    await expect.poll(stored, { interval: 5 }).toContain(`"used":${call},`);
    await evictDurableObject(stub);
  }
  const decisions = await Promise.all(Array.from({ length: 90 }, async () => reserve([charge("rests", fixed(100))])));
  expect(decisions.filter(({ ok }) => ok)).toHaveLength(80);
});

it("grants no more after it was cut off, and at most a sixteenth less", async () => {
  const stub = edge.ALLOWANCE.getByName("reborn");
  await restSoon("reborn");
  for (let call = 0; call < 40; call += 1) await reserve([charge("reborn", fixed(100))]);
  await evictDurableObject(stub);
  const decisions = await Promise.all(Array.from({ length: 80 }, async () => reserve([charge("reborn", fixed(100))])));
  const passed = decisions.filter(({ ok }) => ok).length;
  expect([passed <= 60, passed >= 60 - 7]).toEqual([true, true]);
});

it("holds slots over its end, and frees each once", async () => {
  const stub = edge.ALLOWANCE.getByName("slots");
  await restSoon("slots");
  const slots = charge("slots", { algorithm: "concurrency", limit: 3 });
  const open = [];
  for (let call = 0; call < 3; call += 1) open.push(reservationOf(await reserve([slots])));
  const [first, second] = open;
  if (first === undefined || second === undefined) throw new Error("not reserved");
  // The answer tells that what is held is stored.
  await isolate().settle([{ reservation: first, used: [1] }]);
  await evictDurableObject(stub);
  for (let call = 0; call < 3; call += 1) await isolate().settle([{ reservation: first, used: [1] }]);
  expect((await reserve([slots])).ok).toBe(true);
  expect(await reserve([slots])).toMatchObject({ ok: false, by: 0 });
  await isolate().settle([{ reservation: second, used: [1] }]);
  expect((await reserve([slots])).ok).toBe(true);
});

it("writes a row for many requests, and removes what is over", async () => {
  const stub = edge.ALLOWANCE.getByName("rows");
  const minute: BucketSpec = { algorithm: "fixed-window", limit: 10_000, windowMs: 60_000 };
  for (let call = 0; call < 300; call += 1) await reserve([charge("rows", minute)]);
  const rows = async () =>
    runInDurableObject(stub, (_object, state) => state.storage.sql.exec("SELECT count(*) AS n FROM bucket").one()["n"]);
  expect(await rows()).toBe(1);
  const later = Date.now() + 3_600_000;
  vi.spyOn(Date, "now").mockReturnValue(later);
  await runDurableObjectAlarm(stub);
  vi.restoreAllMocks();
  const tables = await runInDurableObject(stub, (_object, state) =>
    state.storage.sql.exec("SELECT name FROM sqlite_master WHERE name = 'bucket'").toArray(),
  );
  expect(tables).toEqual([]);
  expect((await reserve([charge("rows", minute)])).ok).toBe(true);
  expect(await rows()).toBe(1);
});

it("says of objects that can't be reached that they can't", async () => {
  const broken = createAllowances({
    take: () => Promise.reject(new Error("away")),
    settle: () => Promise.reject(new Error("away")),
  });
  await expect(reserve([charge("x", fixed(1))], broken)).rejects.toThrow("away");
});
