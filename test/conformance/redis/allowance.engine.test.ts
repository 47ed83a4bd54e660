/** The allowance service over a stock Redis behind the Redis door, by `@upstash/ratelimit`. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { beforeEach, describe, expect, it } from "vitest";
import { createAllowances } from "../../../src/allowance/allowances.ts";
import { createRedisStore } from "../../../src/allowance/redis-store.ts";
import type { BucketSpec, Charge, Decision, Reservation, WindowSpec } from "../../../src/allowance/types.ts";
import { hasRedis } from "../bridge/engines.ts";
import { PREFIXED, useRedisDoor } from "./fixture.ts";

const DAY_MS = 86_400_000;
/** For a machine that is busy with other work. */
const PATIENCE_MS = 30_000;
/** Longer than any test takes, and never at its end. */
const windowMs = 100 * 365 * DAY_MS;
const slots = (limit: number): BucketSpec => ({ algorithm: "concurrency", limit });
const windows = (limit: number): WindowSpec[] => [
  { algorithm: "fixed-window", limit, windowMs },
  { algorithm: "sliding-window", limit, windowMs },
  { algorithm: "token-bucket", limit, windowMs, refill: 1 },
];
const fixed = (limit: number): WindowSpec => ({ algorithm: "fixed-window", limit, windowMs });
const charge = (subject: string, spec: BucketSpec, amount = 1): Charge => ({
  ...{ subject, bucket: spec.algorithm, unit: "cost" as const, spec, amount },
});

describe.runIf(hasRedis)("allowances in Redis", () => {
  const { native, url } = useRedisDoor("limits:");
  const isolate = () =>
    createAllowances(
      createRedisStore({ url: `${url()}/redis`, token: PREFIXED, prefix: "limits:" }, { timeoutMs: PATIENCE_MS }),
    );
  const reserve = async (charges: Charge[], from = isolate()): Promise<Decision> =>
    from.reserve(crypto.randomUUID(), Date.now() + DAY_MS, charges);
  const passed = (decisions: Decision[]) => decisions.filter(({ ok }) => ok).length;
  const many = async (count: number, charges: () => Charge[]): Promise<Decision[]> => {
    const isolates = [isolate(), isolate()];
    return Promise.all(Array.from({ length: count }, async (_, index) => reserve(charges(), isolates[index % 2])));
  };

  beforeEach(async () => {
    await native().flushall();
  });

  it.each(windows(100))("lets exactly 100 of 200 clients at once through a $algorithm of 100", async (spec) => {
    expect(passed(await many(200, () => [charge("many", spec)]))).toBe(100);
  });

  it("lets exactly as many hold a slot as there are, until they give it back, each once", async () => {
    const decisions = await many(40, () => [charge("s", slots(7))]);
    expect(passed(decisions)).toBe(7);
    const held = decisions.flatMap((decision) => (decision.ok ? [decision.reservation] : []));
    const [first] = held;
    if (first === undefined) throw new Error("nobody holds a slot");
    for (let call = 0; call < 3; call += 1) await isolate().settle([{ reservation: first, used: [1] }]);
    expect([(await reserve([charge("s", slots(7))])).ok, (await reserve([charge("s", slots(7))])).ok]).toEqual([
      true,
      false,
    ]);
  });

  it("lets slots expire that nobody gives back", async () => {
    const soon = Date.now() + 100;
    expect((await isolate().reserve("lost", soon, [charge("e", slots(1))])).ok).toBe(true);
    await expect.poll(async () => (await reserve([charge("e", slots(1))])).ok).toBe(true);
  });

  it.each(windows(1000))("uses up nothing of a $algorithm when another limit refuses", async (spec) => {
    const decisions = await many(60, () => [
      charge("wide", spec, 3),
      charge("narrow", fixed(10)),
      charge("s", slots(20)),
    ]);
    expect(passed(decisions)).toBe(10);
    expect(await reserve([charge("wide", spec, 1000 - 30)])).toMatchObject({ ok: true, states: [{ remaining: 0 }] });
    expect(passed(await many(40, () => [charge("s", slots(20))]))).toBe(10);
  });

  it("refuses limits of 0 and what is larger than its limit for good, and counts 10^12", async () => {
    expect(await reserve([charge("z", fixed(0))])).toMatchObject({ ok: false, retryAfterMs: null });
    expect(await reserve([charge("z", fixed(5), 6)])).toMatchObject({ ok: false, retryAfterMs: null });
    const bucket: WindowSpec = { algorithm: "token-bucket", limit: 1e12, windowMs: 365 * DAY_MS, refill: 1e6 };
    for (const spec of [...windows(1e12).slice(0, 2), bucket]) {
      expect(await reserve([charge("w", spec, 1e12 - 1)])).toMatchObject({ ok: true, states: [{ remaining: 1 }] });
      expect([(await reserve([charge("w", spec)])).ok, (await reserve([charge("w", spec)])).ok]).toEqual([true, false]);
    }
  });

  it("adds up after random cancels, disconnects and repeats", async () => {
    const spec = fixed(1_000_000);
    let used = 0;
    await Promise.all(
      Array.from({ length: 150 }, async (_, index) => {
        const cost = 1 + (index % 37);
        const decision = await reserve([charge("sum", spec, cost), charge("sum", slots(200))]);
        const real = index % 3 === 0 ? 0 : Math.floor((cost * (index % 7)) / 4);
        used += real;
        const end = { reservation: reservationOf(decision), used: [real, 1] };
        await Promise.all(Array.from({ length: 1 + (index % 3) }, async () => isolate().settle([end])));
      }),
    );
    expect(await reserve([charge("sum", spec, 0)])).toMatchObject({ states: [{ remaining: 1_000_000 - used }] });
    expect(passed(await many(210, () => [charge("sum", slots(200))]))).toBe(200);
  });

  it("keeps its keys under its prefix", async () => {
    await reserve([charge("k", fixed(5)), charge("k", slots(5))]);
    expect((await native().keys("*")).every((key) => key.startsWith("limits:"))).toBe(true);
  });
});

it("refuses when Redis hangs", async () => {
  const hung = createServer(() => {});
  await new Promise<void>((resolve) => hung.listen(0, "127.0.0.1", resolve));
  const { port } = hung.address() as AddressInfo;
  const settings = { url: `http://127.0.0.1:${port}`, token: "t", prefix: "limits:" };
  const store = createRedisStore(settings, { timeoutMs: 100 });
  const decided = createAllowances(store).reserve("r", Date.now() + DAY_MS, [charge("a", fixed(1000))]);
  await expect(decided).rejects.toThrow("Redis did not answer within 100 ms");
  hung.closeAllConnections();
  hung.close();
});

function reservationOf(decision: Decision): Reservation {
  if (decision.ok) return decision.reservation;
  throw new Error("refused");
}
