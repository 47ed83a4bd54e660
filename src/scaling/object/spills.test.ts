/** What a class can't give is rented in the next one that may run the model. */
import { expect, it } from "vitest";
import { offer, World } from "../../../test/unit/scaling/world.ts";

const T4 = "nvidia-t4";
const there = (world: World) =>
  world
    .status()
    .machines.map((one) => `${one.hardware} ${one.state}`)
    .toSorted();

/** Of the cheap class there is one machine to be had; of the dear one as many as are wanted. */
function partlySoldOut(settings: object = {}, wish: object = {}): World {
  const world = new World(settings, ["local/echo"], wish);
  world.offers = [offer("cheap", { pricePerHourNano: 0.1e9 }), offer("dear", { hardware: T4 })];
  world.faults.refuse = (id) => (id === "cheap" && world.names.length > 0 ? "sold_out" : null);
  return world;
}

it("rents in the next class within seconds what a class can't give of which machines work, and no more in all", () => {
  const world = partlySoldOut({ classes: { cpu: { max: 3 }, [T4]: { max: 8 } } });
  world.prove("local/echo");
  world.arrive("local/echo", 3, 600);
  world.run(8);
  expect(there(world)).toEqual(["cpu booting", `${T4} booting`, `${T4} booting`]);
  expect(world.made).toBe(3);
  expect(world.status().models[0]?.why).toContain(`What cpu can't give is rented in ${T4}.`);
  world.run(90);
  expect(there(world)).toEqual(["cpu ready", `${T4} ready`, `${T4} ready`]);
  world.run(200);
  expect(world.made).toBe(3);
});

it("keeps them while its own class has none, through its tries, and goes back once that serves", () => {
  const world = partlySoldOut({ classes: { cpu: { max: 3 }, [T4]: { max: 8 } } });
  world.prove("local/echo");
  const load = () => {
    if (world.jobs.length < 3) world.arrive("local/echo", 3 - world.jobs.length, 10);
  };
  world.run(1200, load);
  expect(world.made).toBe(3);
  world.faults = {};
  world.run(400, load);
  expect(there(world)).toEqual(["cpu ready", "cpu ready", "cpu ready"]);
  expect(world.made).toBe(5);
  for (let n = 0; n < 60 && world.core.book.size > 0; n += 1) world.run(10);
  expect(world.names).toEqual([]);
});

it("rents no more in all than the model may have, and none in a class that it doesn't name", () => {
  const bounded = partlySoldOut({ models: { "local/echo": { max: 3 } } });
  const load = () => {
    if (bounded.jobs.length < 6) bounded.arrive("local/echo", 1, 10);
    expect(bounded.real.size).toBeLessThanOrEqual(3);
  };
  bounded.run(300, load);
  expect(there(bounded)).toEqual(["cpu ready", `${T4} ready`, `${T4} ready`]);
  // What is lost there is rented there again.
  bounded.kill([...bounded.real.values()].find((one) => one.offer === "dear")?.name ?? "");
  bounded.run(100, load);
  expect(there(bounded)).toEqual(["cpu ready", `${T4} ready`, `${T4} ready`]);
  expect(bounded.made).toBe(4);
  const named = partlySoldOut({ models: { "local/echo": { hardware: "cpu" } } });
  named.arrive("local/echo", 3, 600);
  named.run(60);
  expect(there(named)).toEqual(["cpu ready"]);
});

it("takes the class after the next where that is sold out, too, and restarts without renting anew", () => {
  const world = partlySoldOut();
  world.offers.push(offer("dearest", { hardware: "nvidia-a100", pricePerHourNano: 9e9 }));
  world.faults.refuse = (id) => (id === "dearest" || world.names.length === 0 ? null : "sold_out");
  world.arrive("local/echo", 2, 600);
  world.run(15);
  expect(there(world)).toEqual(["cpu booting", "nvidia-a100 booting"]);
  world.run(60);
  for (let n = 0; n < 3; n += 1) {
    world.open();
    world.run(30);
  }
  expect(world.made).toBe(2);
  expect(there(world)).toEqual(["cpu ready", "nvidia-a100 ready"]);
});

it("keeps nothing for a class that is offered no longer and has no machine left", () => {
  const world = partlySoldOut();
  // The cheap class is gone for good while it lacks two, and then another one becomes the cheapest.
  world.arrive("local/echo", 3, 600);
  world.run(8);
  expect(new Set(there(world))).toEqual(new Set(["cpu booting", `${T4} booting`]));
  const dear = offer("dear", { hardware: T4 });
  world.offers = [dear];
  world.kill([...world.real.values()].find((one) => one.offer === "cheap")?.name ?? "");
  world.run(15);
  expect(there(world).join()).not.toContain("cpu");
  world.offers = [dear, offer("new", { hardware: "nvidia-l4", pricePerHourNano: 0.5e9 })];
  world.run(15);
  world.jobs = [];
  for (let n = 0; n < 60 && world.core.book.size > 0; n += 1) world.run(10);
  expect(world.names).toEqual([]);
});

it("rents nothing in the next class for what the machines that its own can give have room for", () => {
  const world = partlySoldOut({ classes: { cpu: { min: 3 } } });
  world.faults.refuse = () => null;
  world.offers[0] = offer("cheap", { pricePerHourNano: 0.1e9, available: 1 });
  world.arrive("local/echo", 1, 600);
  world.run(60);
  // The provider says that there is one more at each look.
  expect(there(world)).toEqual(["cpu ready", "cpu ready", "cpu ready"]);
  expect(world.made).toBe(3);
});

it("rents as many for several models where the next class keeps none that is idle for long", () => {
  const models = ["local/a", "local/b"];
  const rented = [60, undefined].map((max) => {
    const world = new World({ classes: { [T4]: { keep_alive_s: { min: 0, max } } } }, models);
    world.offers = [offer("cheap", { pricePerHourNano: 0.1e9 }), offer("dear", { hardware: T4 })];
    world.faults.refuse = (id) => (id === "cheap" && world.names.length > 0 ? "sold_out" : null);
    for (const model of models) world.arrive(model, 3, 600);
    world.run(8);
    return there(world);
  });
  expect(rented[0]?.length).toBeGreaterThan(3);
  expect(rented[0]).toEqual(rented[1]);
});
