/** Machines that are paid by increments longer than a boot. */
import { expect, it } from "vitest";
import { offer, World } from "../../../test/unit/scaling/world.ts";

it.each([60, 300])("has one returned before another increment of %d s begins, and not long before", (billingS) => {
  const world = new World();
  world.offers = [offer("small", { billingIncrementS: billingS })];
  world.arrive("local/echo");
  let thereS = 0;
  for (let n = 0; n < 3 * billingS && (thereS === 0 || world.real.size > 0); n += 1) {
    world.run(1);
    thereS += world.real.size;
  }
  expect([world.made, world.done.length]).toEqual([1, 1]);
  expect(world.names).toEqual([]);
  // A provider that takes 5 s more to end it is in time, too.
  const inLastS = ((thereS - 1) % billingS) + 1;
  expect(inLastS).toBeGreaterThan(billingS - 20);
  expect(inLastS).toBeLessThanOrEqual(billingS - 5);
});

it("returns one by the second at once", () => {
  const world = new World();
  world.arrive("local/echo");
  world.run(180);
  expect(world.made).toBe(1);
  expect(world.names).toEqual([]);
});
