/** Light, steady traffic of several small models: what it costs beside a fleet that never changes. */
import { expect, it } from "vitest";
import { Market, Room } from "../../../test/unit/scaling/market.ts";
import { offer } from "../../../test/unit/scaling/world.ts";

const T4 = "nvidia-t4";
const WARM_UP_S = 120;
const LASTS_S = 720;

it.each([20, 10])("keeps one machine a class for two models that take a share of it, every %d s", (everyS) => {
  const offers = [offer("small"), offer("large", { hardware: T4 })];
  const models = ["cpu", "cpu", T4, T4].map((hardware, n) => ({ name: `local/model-${n}`, hardware }));
  const [well, sick] = [new Room("well", offers), new Room("sick", offers)];
  const world = new Market({}, models, [well, sick]);
  world.fallIll(sick, "refuses");
  let machineS = 0;
  for (let atS = 0; atS < LASTS_S; atS += 1) {
    for (const [n, { name }] of models.entries()) if ((atS + 3 * n) % everyS === 0) world.arrive(name, 2);
    expect(world.step()).toEqual([]);
    if (atS >= WARM_UP_S) machineS += world.machines.length;
  }
  const steadyS = 2 * (LASTS_S - WARM_UP_S);
  expect(machineS / steadyS).toBeLessThan(1.05);
  expect(world.made).toBe(2);
  expect(world.accepted - world.done).toBeLessThanOrEqual(models.length);
});

it("keeps a steady fleet for an hour of four models that share machines", () => {
  const models = [0, 1, 2, 3].map((n) => ({ name: `local/model-${n}`, hardware: "cpu" }));
  const world = new Market({}, models, [new Room("well", [offer("small")])]);
  let machineS = 0;
  for (let atS = 0; atS < 3600; atS += 1) {
    for (const [n, { name }] of models.entries()) if ((atS + 3 * n) % 12 === 0) world.arrive(name, 4);
    expect(world.step()).toEqual([]);
    if (atS >= WARM_UP_S) machineS += world.machines.length;
  }
  // Each keeps a third of a machine busy.
  expect(machineS / (2 * (3600 - WARM_UP_S))).toBeLessThan(1.1);
  // Two more help while the first boots.
  expect(world.made).toBeLessThanOrEqual(4);
  expect(world.accepted - world.done).toBeLessThanOrEqual(models.length);
});
