/** Versions that no machine has set up yet: two machines at most, until one has. */
import { expect, it } from "vitest";
import { offer, World } from "../../../test/unit/scaling/world.ts";

const ECHO = "local/echo";
const SICK = "local/sick";
const HALF_HOUR_S = 1800;
const CAUTION = "No machine has set it up yet: until one has, 2 at most are rented for it.";

/** The word of another lane, on which a pool could not set the model up. */
function failsOn(world: World, session: string, n = 1): void {
  const nothing = { waitingMs: 0, inFlight: 0, arrived: 0, started: 0, waitedMs: 0, ended: 0, endedMs: 0 };
  const waiting = { high: 0, normal: 0, low: 0 };
  const sessions = [{ session, inFlight: 0, startNow: 0, readyInMs: null, problem: "out of memory" }];
  const versions = [{ model: ECHO, version: "v", waiting, ...nothing, sessions }];
  world.core.demand("another", { life: "one", n, versions });
}

const whyOf = (world: World, model: string) => world.status().models.find((one) => one.model === model)?.why ?? "";

/** Until nothing is left, within ten minutes. */
function settle(world: World): void {
  for (let n = 0; n < 60 && world.core.book.size > 0; n += 1) world.run(10);
}

it("rents two machines for a burst on a new version, says why, and as many as are wanted once one serves", () => {
  const world = new World({ classes: { cpu: { max: 5 } } });
  world.setupS = 30;
  world.arrive(ECHO, 40, 20);
  world.run(10);
  expect(world.status().models[0]?.wanted).toBeGreaterThan(2);
  expect(whyOf(world, ECHO)).toContain(CAUTION);
  world.run(39);
  expect(world.made).toBe(2);
  for (let n = 0; n < 60 && world.names.length < 5; n += 1) world.run(1);
  expect(world.names).toHaveLength(5);
  expect(whyOf(world, ECHO)).not.toContain("set it up");
  for (let n = 0; n < 600 && world.done.length < 40; n += 1) world.run(1);
  settle(world);
  // It is known from then on, over restarts too.
  world.open();
  world.arrive(ECHO, 40, 20);
  world.run(5);
  expect(world.names).toHaveLength(5);
});

it("rents two machines for a burst on a sick version, however far apart they fail, and one after the grace", () => {
  const world = new World({ classes: { cpu: { max: 8 } } });
  world.offers = [offer("a", { available: 1 }), ...["b", "c", "d"].map((id) => offer(id, { pricePerHourNano: 2e9 }))];
  let isUp = false;
  world.faults = { sick: ECHO, neverBoots: (id) => id !== "a" && !isUp };
  world.arrive(ECHO, 40);
  world.run(30);
  expect(world.made).toBe(2);
  expect(whyOf(world, ECHO)).toContain(
    "Its set-up failed on 1 machine: until one has set it up, 1 more at most is rented for it. It said: no module",
  );
  world.run(270);
  expect(world.made).toBe(2);
  isUp = true;
  world.run(HALF_HOUR_S);
  expect(world.made).toBe(2);
  expect(whyOf(world, ECHO)).toContain("No machine is rented for it: its set-up failed on 2 machines that ran it");
  world.run(120);
  expect(world.made).toBe(3);
});

it("bounds no other model of the class by one that is sick", () => {
  const world = new World({ classes: { cpu: { max: 8 } } }, [ECHO, SICK]);
  world.faults = { sick: SICK, sickAfterS: 120 };
  world.prove(ECHO);
  for (const model of [ECHO, SICK]) world.arrive(model, 40, 60);
  world.run(2);
  expect(world.names).toHaveLength(8);
  expect(whyOf(world, SICK)).toContain(CAUTION);
  expect(whyOf(world, ECHO)).not.toContain("set it up");
});

it("rents at once what the operator's settings keep, and what its owner asks for once it is set up", () => {
  const kept = new World({ models: { [ECHO]: { min: 4 } } });
  kept.run(2);
  expect(kept.names).toHaveLength(4);
  const asked = new World({}, [ECHO], { own: { min: 4 } });
  asked.run(20);
  expect(asked.names).toHaveLength(2);
  expect(whyOf(asked, ECHO)).toContain(CAUTION);
  for (let n = 0; n < 60 && asked.names.length < 4; n += 1) asked.run(1);
  expect(asked.names).toHaveLength(4);
});

it("rents what the operator's settings keep of a sick version once, and not again", () => {
  const world = new World({ models: { [ECHO]: { min: 4 } } });
  world.faults.sick = ECHO;
  world.run(HALF_HOUR_S / 2);
  expect(world.made).toBe(4);
  expect(world.names).toEqual([]);
});

it("keeps what serves a version though its set-up fails on two other machines, and rents no other for it", () => {
  const world = new World({ classes: { cpu: { max: 8 } } });
  world.offers = [offer("good")];
  world.arrive(ECHO, 1, 5);
  world.run(30);
  expect(world.names).toHaveLength(1);
  const [good] = world.names;
  world.offers = [offer("bad", { pricePerHourNano: 1 })];
  world.faults = { sick: ECHO, sickOn: (id) => id === "bad" };
  world.arrive(ECHO, 60, 20);
  for (let n = 0; n < 300 && world.core.sickness.reason(`${ECHO} v`, world.wallMs) === null; n += 1) world.run(1);
  const { made } = world;
  expect(made).toBeGreaterThan(2);
  for (let n = 0; n < 1500 && world.done.length < 61; n += 1) world.run(1);
  expect(world.done).toHaveLength(61);
  expect(world.made).toBe(made);
  expect(world.names).toEqual([good]);
  expect(whyOf(world, ECHO)).toContain("No other machine is rented for it: its set-up failed on ");
});

it("rents for a version though a pool that nobody rented can't set it up, however often that one starts again", () => {
  const world = new World();
  world.run(1);
  for (const n of [1, 2, 3]) failsOn(world, `life-${n}-of-a-small-host`, n);
  world.arrive(ECHO);
  world.run(2);
  expect(world.names).toHaveLength(1);
});

it("counts a machine once on which a set-up failed, though its lane tells of it when it is gone", () => {
  const world = new World();
  world.faults = { sick: ECHO };
  world.arrive(ECHO);
  world.run(30);
  expect(world.names).toHaveLength(1);
  const [machine] = world.status().machines;
  world.kill(world.names[0] ?? "");
  failsOn(world, machine?.session ?? "");
  expect(whyOf(world, ECHO)).not.toContain("failed on 2 machines");
});

it("counts each pool of a class whose machines others start", () => {
  const world = new World({ classes: { cpu: { external: true } } });
  for (const n of [1, 2]) failsOn(world, `pod-${n}`, n);
  expect(whyOf(world, ECHO)).toContain("failed on 2 machines");
});
