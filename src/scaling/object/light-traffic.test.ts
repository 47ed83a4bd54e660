/** Light, steady traffic of several small models: what it costs beside a fleet that never changes. */
import { expect, it } from "vitest";
import { Market, Room } from "../../../test/unit/scaling/market.ts";
import { makeSameIds } from "../../../test/unit/scaling/same-ids.ts";
import { offer } from "../../../test/unit/scaling/world.ts";

const T4 = "nvidia-t4";
const WARM_UP_S = 120;
const LASTS_S = 720;

makeSameIds();

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

/** Each has a prediction of 4 s every so many seconds, a few seconds after the model before it. */
it.each([
  { count: 4, everyS: 12, forS: 3600, most: 4 },
  { count: 8, everyS: 24, forS: 1800, most: 6 },
])("keeps a steady fleet of two for $count models that share machines", ({ count, everyS, forS, most }) => {
  const models = Array.from({ length: count }, (_, n) => ({ name: `local/model-${n}`, hardware: "cpu" }));
  const world = new Market({}, models, [new Room("well", [offer("small")])]);
  let machineS = 0;
  for (let atS = 0; atS < forS; atS += 1) {
    for (const [n, { name }] of models.entries()) if ((atS + 3 * n) % everyS === 0) world.arrive(name, 4);
    expect(world.step()).toEqual([]);
    if (atS >= WARM_UP_S) machineS += world.machines.length;
  }
  expect(machineS / (2 * (forS - WARM_UP_S))).toBeLessThan(1.1);
  // Some more help while the first boots.
  expect(world.made).toBeLessThanOrEqual(most);
  expect(world.accepted - world.done).toBeLessThanOrEqual(models.length);
});
