import { expect, it, vi } from "vitest";
import type { Env } from "../env.ts";
import { expectedPricing } from "./expected.ts";
import { costOfRun } from "./price.ts";
import type { Price } from "./price.ts";

const price: Price = {
  ...{ id: "1:*", currency: "USD", perSecond: { cpu: 1000, h200: 9000 }, perUnit: {}, perRequest: 7, minimum: 0 },
};
const byUnits: Price = { ...price, perUnit: { n: 50 } };
let models = 0;

type Group = { billed: number; runMs: number; gpuUs: number; units: Record<string, number> };
type Told = Group & { requests?: number; device?: string };

/** A lane that knows of a model of its own how long its runs take, and a meter that knows the account's; or away. */
function world(runMs: () => number | null, groups: () => Told[] = () => []) {
  const asked = vi.fn(runMs);
  const read = vi.fn(groups);
  const groupsOf = () => read().map((group) => ({ requests: group.billed, device: "cpu", ...group }));
  const LANE = { getByName: () => ({ outlook: () => Promise.resolve().then(() => ({ runMs: asked() })) }) };
  const METER = {
    getByName: () => ({ usage: () => Promise.resolve().then(() => ({ groups: groupsOf(), next: null })) }),
  };
  const name = `model-${(models += 1)}`;
  const one = {
    accountId: "a",
    lane: "default",
    priority: "normal",
    model: { owner: "acme", name, version: "v" },
  } as const;
  const expected = async (by = price) => {
    const pricing = await expectedPricing({ LANE, METER } as unknown as Pick<Env, "LANE" | "METER">, by, one);
    return [pricing.expectedNano, pricing.basis, pricing.devices];
  };
  return { asked, read, expected };
}
const away = (): never => {
  throw new Error("away");
};

it("expects what runs take lately, on the dearest device, and asks once in a while", async () => {
  const { asked, read, expected } = world(() => 250);
  for (let call = 0; call < 2; call += 1) expect(await expected()).toEqual([9000 / 4 + 7, "runs", undefined]);
  expect([asked.mock.calls.length, read.mock.calls.length]).toEqual([1, 1]);
});

it("takes a version that nobody ran yet, or whose lane and meter are away, to run for a second", async () => {
  vi.spyOn(console, "log").mockImplementation(() => {});
  vi.spyOn(console, "warn").mockImplementation(() => {});
  expect(await world(() => null).expected()).toEqual([9007, "default", undefined]);
  expect(await world(away, away).expected(byUnits)).toEqual([9007, "default", undefined]);
});

it("asks nobody where time and units are free, and no lane where time is", async () => {
  const { asked, read, expected } = world(() => 250);
  expect(await expected({ ...price, perSecond: { "*": 0 } })).toEqual([7, "runs", undefined]);
  expect([asked.mock.calls.length, read.mock.calls.length]).toEqual([0, 0]);
  expect((await expected({ ...byUnits, perSecond: {} }))[1]).toBe("default");
  expect([asked.mock.calls.length, read.mock.calls.length]).toEqual([0, 1]);
});

it("knows units by the mean of the account's own runs, and says where it knows none", async () => {
  expect(await world(() => 250).expected(byUnits)).toEqual([9000 / 4 + 7, "run_time", undefined]);
  const groups = [
    { billed: 3, runMs: 900, gpuUs: 300_000, units: { n: 30, other: 7 } },
    { billed: 1, runMs: 100, gpuUs: 100_000, units: { n: 12 } },
  ];
  const cost = 9000 / 4 + (42 / 4) * 50 + 7;
  expect(
    await world(
      () => 250,
      () => groups,
    ).expected(byUnits),
  ).toEqual([cost, "runs", undefined]);
  // A lane that forgot is stood in for by the same runs.
  const own = 9000 / 4 + (42 / 4) * 50 + 7;
  expect(
    await world(
      () => null,
      () => groups,
    ).expected(byUnits),
  ).toEqual([own, "runs", undefined]);
});

it("takes the time of all devices that a run has", async () => {
  const groups = [{ billed: 2, runMs: 1000, gpuUs: 3_990_000, units: {} }];
  const { expected } = world(
    () => 250,
    () => groups,
  );
  expect(await expected()).toEqual([costOfRun(price, 1000), "runs", 4]);
});

it("believes no pool that tells of more devices than a run can have", async () => {
  const { expected } = world(
    () => 250,
    () => [{ billed: 1, runMs: 1, gpuUs: 64_000_000, units: {} }],
  );
  expect(await expected()).toEqual([costOfRun(price, 250 * 64), "runs", 64]);
});

it("takes the mean time of all runs where many were lost, counts no answer of a cache, and units by what ended", async () => {
  const groups = [
    { requests: 10, billed: 2, runMs: 5000, gpuUs: 5_000_000, units: { n: 20 } },
    { requests: 90, billed: 0, runMs: 0, gpuUs: 0, units: {}, device: "none" },
  ];
  const { expected } = world(
    () => null,
    () => groups,
  );
  expect(await expected(byUnits)).toEqual([costOfRun(byUnits, 500, { n: 10 }), "runs", undefined]);
});
