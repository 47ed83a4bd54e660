import { expect, it, vi } from "vitest";
import type { Env } from "../env.ts";
import { expectedCost } from "./expected.ts";
import type { Price } from "./price.ts";

const price: Price = {
  ...{ id: "1:*", currency: "USD", perSecond: { cpu: 1000, h200: 9000 }, perUnit: { n: 5 }, perRequest: 7, minimum: 0 },
};
let models = 0;

/** A lane that knows of a model of its own how long its runs take, or is away. */
function lane(runMs: () => number | null) {
  const asked = vi.fn(runMs);
  const getByName = () => ({ outlook: () => Promise.resolve().then(() => ({ runMs: asked() })) });
  const name = `model-${(models += 1)}`;
  const one = {
    accountId: "a",
    lane: "default",
    priority: "normal",
    model: { owner: "acme", name, version: "v" },
  } as const;
  const cost = (by = price) => expectedCost({ LANE: { getByName } as unknown as Env["LANE"] }, by, one);
  return { asked, cost };
}

it("expects what runs take lately, on the dearest device, and asks once in a while", async () => {
  const { asked, cost } = lane(() => 250);
  expect([await cost(), await cost()]).toEqual([9000 / 4 + 7, 9000 / 4 + 7]);
  expect(asked).toHaveBeenCalledTimes(1);
});

it("takes a version that nobody ran yet, or whose lane is away, to run for a second", async () => {
  vi.spyOn(console, "log").mockImplementation(() => {});
  vi.spyOn(console, "warn").mockImplementation(() => {});
  expect(await lane(() => null).cost()).toBe(9007);
  const away = lane(() => {
    throw new Error("away");
  });
  expect(await away.cost()).toBe(9007);
});

it("asks no lane where time is free", async () => {
  const { asked, cost } = lane(() => 250);
  expect(await cost({ ...price, perSecond: { "*": 0 } })).toBe(7);
  expect(asked).not.toHaveBeenCalled();
});
