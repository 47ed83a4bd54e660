import { expect, it } from "vitest";
import { offer, World } from "../../../test/unit/scaling/world.ts";
import { MAX_ARRIVALS } from "../what-if.ts";
import { pastOf } from "./past.ts";

it("counts every arrival of a busy day, and keeps the times of the latest alone", () => {
  const world = new World();
  world.offers = [offer("small")];
  world.run(1);
  const minutes = [
    { minute: 1, versions: { "local/echo v": [[1, 30_000_000] as [number, number]] } },
    { minute: 2, versions: { "local/echo v": [[5, 2] as [number, number], [6, 1] as [number, number]] } },
  ];
  const [asked] = pastOf(world.core, minutes, null).asked;
  expect(asked?.arrivals).toBe(30_000_003);
  expect(asked?.atS).toHaveLength(MAX_ARRIVALS);
  expect(asked?.atS.slice(-4)).toEqual([61, 125, 125, 126]);
});
