import { expect, it, vi } from "vitest";
import type { Charge, MoneySpec } from "../../plugins/kernel/allowance.ts";
import type { ReservationEnd } from "../../plugins/kernel/reservations.ts";
import { defaultRules } from "../shard/rules.ts";
import { createAllowances } from "./allowances.ts";
import { createBook } from "./book.ts";
import { createAllowanceService } from "./service.ts";

const slots: Charge = {
  ...{ subject: "account:a", bucket: "s", unit: "concurrency", amount: 1 },
  spec: { algorithm: "concurrency", limit: 1 },
};

function setUp() {
  const book = createBook({ buckets: [], slots: [] });
  const objects = createAllowances({
    take: (_subject, groups) => Promise.resolve(book.take(groups, Date.now())),
    settle: (_subject, ends) => Promise.resolve(void book.settle(ends, Date.now())),
  });
  const service = createAllowanceService({ objects, ledger: objects, redis: null });
  const reserve = async () => service.reserve("objects", Date.now() + 60_000, [slots]);
  const endOf = (id: string, data: ReservationEnd["data"]): ReservationEnd => ({
    ...{ service: "allowance", plugin: "rate-limit", id, data, how: "settle", predictionId: "p", accountId: "a" },
    ...{
      model: { owner: "o", name: "m", version: "v" },
      status: "succeeded",
      attempt: 1,
      cost: 1,
      costNano: 0,
      metrics: {},
    },
  });
  return { service, reserve, endOf };
}

it("lets one that can't be read, or whose store is gone, keep no other from ending", async () => {
  const logged = vi.spyOn(console, "error").mockImplementation(() => {});
  const { service, reserve, endOf } = setUp();
  const held = await reserve();
  if (!held.ok) throw new Error("refused");
  const { id, data } = held.reservation;
  const inRedis = { ...(data as object), s: "redis" };
  await service.end([endOf("x", "of another version"), endOf("y", inRedis), endOf(id, data)]);
  expect((await reserve()).ok).toBe(true);
  expect(logged.mock.calls.join()).toContain("reservation_unreadable");
  logged.mockRestore();
});

it("keeps with a prediction what its end matters to, and nothing else", async () => {
  const { service, reserve } = setUp();
  const counted = { algorithm: "fixed-window", limit: 10, windowMs: 1000 } as const;
  const requests = await service.reserve("objects", 0, [{ ...slots, unit: "requests", spec: counted }]);
  expect(requests).toMatchObject({ reservation: { untilAccepted: true } });
  expect(await reserve()).not.toMatchObject({ reservation: { untilAccepted: true } });
});

it("stores few characters, whatever the limits", async () => {
  const spec = { algorithm: "token-bucket", limit: 1e12, windowMs: 366 * 86_400_000, refill: 1e12 } as const;
  const id = "0190b6b2-7c5e-7000-8000-000000000000";
  const charges = Array.from({ length: 8 }, (_, index): Charge => {
    const bucket = `a-name-of-20-chars-${index} c t31622400000 ${id} ${"o".repeat(63)}/${"m".repeat(63)}`;
    return { subject: `account:${id}`, bucket, unit: "cost", spec, amount: 1e12, held: false };
  });
  const { service } = setUp();
  const answer = await service.reserve("objects", Date.now(), charges);
  if (!answer.ok) throw new Error("refused");
  expect(JSON.stringify(answer.reservation.data).length).toBeLessThan(2500);
});

it("holds money until its shard has waited for what a run took that was stopped at its deadline", async () => {
  const taken: number[] = [];
  const ledger = createAllowances({
    take(_subject, groups) {
      taken.push(...groups.map(({ expiresAt }) => expiresAt));
      return Promise.resolve(groups.map(() => ({ ok: true, leases: [] })));
    },
    settle: () => Promise.resolve(),
  });
  const service = createAllowanceService({ objects: ledger, ledger, redis: null });
  const spec: MoneySpec = { algorithm: "balance", limit: 0 };
  const deadline = Date.now() + 60_000;
  await service.reserve("ledger", deadline, [{ subject: "account:a", bucket: "b", unit: "money", spec, amount: 1 }]);
  // Eight leases until it gives up, a sweep until it looks, and one until it tells once more.
  expect(taken[0]).toBeGreaterThan(deadline + 8 * defaultRules.leaseMs + 2 * defaultRules.sweepMs);
});
