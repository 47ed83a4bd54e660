/** What lanes are told of when a machine will serve. */
import { expect, it } from "vitest";
import { offer, World } from "../../../test/unit/scaling/world.ts";
import { totalMs } from "../../contract/cold-start.ts";
import type { ColdStart } from "../../contract/cold-start.ts";
import { outlookOf } from "./outlook.ts";

/** Until nothing is left, within ten minutes. */
function settle(world: World): void {
  for (let n = 0; n < 60 && (world.real.size > 0 || world.core.book.size > 0); n += 1) world.run(10);
}

it("names a time within which every cold start after the first is over, of two models on two classes", () => {
  const models = ["local/echo", "local/big"];
  const world = new World({ models: { "local/big": { hardware: "nvidia-t4" } } }, models);
  world.offers = [offer("small"), offer("large", { hardware: "nvidia-t4" })];
  world.runsOn = (model, id) => (model === "local/big") === (id === "large");
  const told: Map<string, { atS: number; coldStart: ColdStart }[]> = new Map();
  // Boots, and set-ups after them, of about the same length: the one as long as the other at the most.
  for (const [bootS, setupS] of [
    [20, 10],
    [26, 14],
    [17, 8],
    [30, 11],
  ] as const) {
    Object.assign(world, { bootS, setupS });
    const isFirst = told.size === 0;
    for (const model of models) told.set(model, []);
    const fromS = world.nowS;
    for (const model of models) world.arrive(model);
    for (let n = 0; n < 100 && world.jobs.some(({ startedS }) => startedS === null); n += 1) {
      world.run(1);
      for (const { model } of world.jobs.filter(({ startedS }) => startedS === null)) {
        const { coldStart } = outlookOf(world.core, `${model} v`, world.wallMs);
        if (coldStart !== null) told.get(model)?.push({ atS: world.nowS, coldStart });
      }
    }
    const startedS = world.nowS;
    expect(startedS - fromS).toBeGreaterThanOrEqual(bootS + setupS);
    for (const model of isFirst ? [] : models) {
      expect(told.get(model)?.length).toBeGreaterThan(bootS);
      for (const { atS, coldStart } of told.get(model) ?? []) {
        expect(coldStart.setupMs).not.toBeNull();
        expect(atS + coldStart.leastMs / 1000).toBeLessThanOrEqual(startedS);
        expect(atS + (coldStart.mostMs ?? Infinity) / 1000).toBeGreaterThanOrEqual(startedS);
      }
    }
    settle(world);
  }
});

it("is when a machine serves: what its provider expects, then what a boot took before, less what is over of it", () => {
  const world = new World();
  const version = {
    ...{ model: "local/echo", version: "v", waiting: { high: 0, normal: 1, low: 0 } },
    ...{ waitingMs: 1, inFlight: 0, arrived: 0, started: 0, waitedMs: 0, ended: 0, endedMs: 0, sessions: [] },
  };
  let n = 0;
  const coldStart = () => {
    n += 1;
    return world.core.demand("other", { life: "x", n, versions: [version] }).versions[0]?.coldStart ?? null;
  };
  world.arrive("local/echo");
  world.run(2);
  expect(coldStart()).toBeNull();
  world.expects = { expectedBootS: 40 };
  world.run(3);
  expect(coldStart()?.machineMs).toBeGreaterThan(30_000);
  expect(coldStart()?.machineMs).toBeLessThanOrEqual(40_000);
  world.run(30);
  world.core.demand("other", { life: "x", n: (n += 1), versions: [] });
  settle(world);
  world.arrive("local/echo");
  world.run(5);
  expect(coldStart()?.machineMs).toBeGreaterThan(10_000);
  expect(coldStart()?.machineMs).toBeLessThan(20_000);
});

it("lies within its own range, also of a machine that takes far longer than any did before", () => {
  const world = new World();
  world.setupS = 10;
  world.arrive("local/echo");
  world.run(40);
  settle(world);
  world.faults.neverBoots = () => true;
  world.arrive("local/echo");
  const mosts: (number | null)[] = [];
  for (let n = 0; n < 90; n += 1) {
    world.run(1);
    const { coldStart } = outlookOf(world.core, "local/echo v", world.wallMs);
    if (coldStart === null) continue;
    mosts.push(coldStart.mostMs);
    expect(coldStart.leastMs).toBeLessThanOrEqual(totalMs(coldStart));
    expect(coldStart.mostMs ?? Infinity).toBeGreaterThanOrEqual(totalMs(coldStart));
  }
  expect(mosts[0]).toBeGreaterThan(30_000);
  expect(mosts.at(-1)).toBeNull();
});
