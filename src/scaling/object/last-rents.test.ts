import { expect, it } from "vitest";
import { offer, World } from "../../../test/unit/scaling/world.ts";
import { withRented } from "./last-rents.ts";
import { ScalerStore } from "./rows.ts";

it("keeps what each class was rented for last, in one currency, by device and second", () => {
  const machine = { hardware: "nvidia-h200", devices: 2, pricePerHourNano: 7_200_000_000 };
  const first = withRented(null, "USD", machine);
  expect(first).toEqual({ currency: "USD", perSecondNano: { "nvidia-h200": 1_000_000 } });
  expect(withRented(first, "USD", machine)).toBe(first);
  const both = withRented(first, "USD", { ...machine, hardware: "cpu", devices: 1, pricePerHourNano: 3600 });
  expect(both.perSecondNano).toEqual({ "nvidia-h200": 1_000_000, cpu: 1 });
  expect(withRented(both, "EUR", machine)).toEqual({ ...first, currency: "EUR" });
});

it("stays known when the machine is gone, and the scaler starts again", () => {
  const world = new World();
  world.offers = [offer("small", { pricePerHourNano: 3_600_000_000 })];
  world.arrive("local/echo");
  for (let n = 0; n < 60 && (n < 2 || world.real.size > 0); n += 1) world.run(10);
  expect(world.made).toBe(1);
  expect(new ScalerStore(world.sql).read("rents")).toEqual({ currency: "USD", perSecondNano: { cpu: 1_000_000 } });
});
