/** The scaler with a provider that doesn't go by the protocol, and with clocks that jump. */
import { describe, expect, it } from "vitest";
import { offer, World } from "../../../test/unit/scaling/world.ts";
import { outlookOf } from "./outlook.ts";

/** Until nothing is left, within ten minutes. */
function settle(world: World): void {
  for (let n = 0; n < 60 && (world.real.size > 0 || world.core.book.size > 0); n += 1) world.run(10);
}

describe("providers that fail", () => {
  it("rents at once what was sold out as long as a machine of its own was there, once that is returned", () => {
    const world = new World();
    world.bootS = 5;
    world.prove("local/echo");
    world.faults.refuse = () => (world.names.length > 0 ? "sold_out" : null);
    world.arrive("local/echo", 30);
    for (let n = 0; n < 200 && (world.jobs.length > 0 || world.names.length > 0); n += 1) world.run(1);
    expect(world.core.book.counts.refused).toBeGreaterThan(0);
    world.run(5);
    world.arrive("local/echo");
    world.run(5);
    expect(world.names).toHaveLength(1);
  });

  it("takes another offer for what is sold out, and asks for it again later", () => {
    const world = new World();
    world.offers = [offer("cheap", { pricePerHourNano: 1 }), offer("dear")];
    world.faults.refuse = (id) => (id === "cheap" ? "sold_out" : null);
    world.arrive("local/echo");
    world.run(4);
    expect(world.status().machines.map((one) => one.offer)).toEqual(["dear"]);
    expect(world.core.book.counts.refused).toBe(1);
  });

  it("makes one machine of an order whose answer says nothing", () => {
    const world = new World();
    world.faults.ambiguous = true;
    world.arrive("local/echo");
    world.run(40);
    expect(world.made).toBe(1);
    expect(world.done).toHaveLength(1);
  });

  it("returns a machine that never connects, and avoids its offer", () => {
    const world = new World({ classes: { cpu: { boot_timeout_s: 60 } } });
    world.offers = [offer("dead", { pricePerHourNano: 1 }), offer("alive")];
    world.faults.neverBoots = (id) => id === "dead";
    world.arrive("local/echo");
    world.run(200);
    expect(world.done).toHaveLength(1);
    expect(world.core.book.counts.neverConnected).toBe(1);
    world.arrive("local/echo", 20, 30);
    world.run(20);
    expect(world.status().machines.every((one) => one.offer === "alive")).toBe(true);
  });

  it("rents less and less often where machines vanish before they serve, whatever their offer, and again once one does", () => {
    const world = new World({ classes: { cpu: { max: 1 } } });
    world.offers = Array.from({ length: 20 }, (_, n) => offer(`host-${n}`, { available: 1, host: `h${n}` }));
    world.faults.vanishAfterS = () => 3;
    world.arrive("local/echo");
    world.run(1200);
    expect(world.made).toBeLessThan(10);
    expect(world.status().classes[0]?.why).toContain("None can be rented: every offer that does was");
    world.faults = {};
    world.run(1200);
    expect(world.done).toHaveLength(1);
    settle(world);
    const made = world.made;
    world.arrive("local/echo");
    world.run(60);
    expect(world.made).toBe(made + 1);
  });

  it("returns a machine whose devices fail their test", () => {
    const world = new World();
    world.faults.devices = 0;
    world.arrive("local/echo");
    world.run(40);
    expect(world.core.book.counts.selfTestFailed).toBe(1);
    expect(world.status().machines.every(({ state }) => state !== "ready")).toBe(true);
  });

  it("goes on wanting a machine back that the provider says is gone, and isn't", () => {
    const world = new World({ classes: { cpu: { max: 1 } } });
    world.arrive("local/echo", 3);
    world.run(25);
    const [name = ""] = world.names;
    world.faults.hides = () => true;
    for (let n = 0; n < 60; n += 1) {
      world.arrive("local/echo", 1);
      world.run(1);
    }
    // Its pool works: the list is not believed, and nothing is rented in its place.
    expect(world.made).toBe(1);
    expect(world.core.desired("fake").map((one) => one.name)).toEqual([name]);
    expect(world.core.book.counts.disagreed).toBe(1);
    // Every 10 s its pool's session is looked at, which may have ended untold.
    expect(new Set(world.checked.map(({ machine }) => machine)).size).toBe(1);
    expect(world.checked.length).toBeGreaterThan(2);
    expect(world.checked.length).toBeLessThan(7);
    world.faults.hides = () => false;
    settle(world);
    expect(world.names).toEqual([]);
  });

  it("keeps asking for the return of one that is listed still", () => {
    const world = new World();
    world.arrive("local/echo");
    world.run(25);
    world.faults.keeps = true;
    world.run(900);
    expect(world.core.desired("fake").map(({ state }) => state)).toEqual(["gone"]);
    world.faults.keeps = false;
    settle(world);
    expect(world.core.desired("fake")).toEqual([]);
  });

  it("counts what it has given up, until its provider no longer lists it, and says so", () => {
    const world = new World({ classes: { cpu: { max: 1, boot_timeout_s: 30 } } });
    world.faults = { neverBoots: () => world.made === 1, keeps: true };
    world.expects = { expectedBootS: 20 };
    world.offers = [offer("first", { pricePerHourNano: 1 }), offer("second")];
    world.arrive("local/echo");
    world.run(400);
    expect(world.core.book.counts.neverConnected).toBe(1);
    expect([world.made, world.most]).toEqual([1, 1]);
    expect(world.status().classes[0]?.why).toContain(
      "at most 1 are allowed, and 1 more counts until its provider no longer lists it.",
    );
    expect(outlookOf(world.core, "local/echo v", world.wallMs)).toEqual({ coldStart: null, refused: null });
    world.faults.keeps = false;
    world.run(60);
    expect(world.done).toHaveLength(1);
    expect([world.made, world.most]).toEqual([2, 1]);
  });

  it("says of one that a silent provider is to return what the operator can do", () => {
    const world = new World();
    world.arrive("local/echo");
    world.run(22);
    world.faults.away = true;
    world.run(300);
    const [machine] = world.status().machines;
    expect(machine?.state).toBe("gone");
    expect(machine?.why).toContain(". It counts as there, since the service of fake is not heard. Start it, or ");
    expect(machine?.why).toMatch(/look at the provider and run edgeplane scaling forget m[0-9a-z]{12}\.$/);
    world.faults.away = false;
    world.faults.keeps = true;
    world.run(5);
    expect(world.status().machines[0]?.state).toBe("gone");
    expect(world.status().machines[0]?.why).not.toContain("forget");
  });

  it("replaces machines that vanish, and ends every prediction", () => {
    const world = new World({ classes: { cpu: { max: 6 } } });
    world.arrive("local/echo", 60);
    world.run(300, (atS) => {
      const [name] = world.names;
      if (atS % 37 === 0 && name !== undefined) world.kill(name);
      expect(world.real.size).toBeLessThanOrEqual(6);
    });
    settle(world);
    expect(world.done).toHaveLength(60);
    expect(world.names).toEqual([]);
  });

  it("rents nothing from a provider that is away, and returns what it made meanwhile", () => {
    const world = new World({ classes: { cpu: { boot_timeout_s: 120 } } });
    world.arrive("local/echo");
    world.run(2);
    world.faults.away = true;
    world.faults.neverBoots = () => true;
    world.run(300);
    expect(world.core.book.all().every(({ state }) => state === "gone")).toBe(true);
    world.jobs = [];
    world.run(2);
    // Only its provider can say that it is gone: until then nothing keeps the scaler awake.
    expect(world.core.book.size).toBe(1);
    expect(world.core.isActive).toBe(false);
    world.arrive("local/echo");
    world.faults = {};
    world.run(60);
    settle(world);
    expect(world.done).toHaveLength(1);
    expect(world.names).toEqual([]);
  });

  it("learns no boot and no set-up from a jump of the clock", () => {
    const world = new World({ classes: { cpu: { monthly_cap: 50 } } });
    world.setupS = 20;
    world.arrive("local/echo");
    for (const seconds of [10, 20, 60]) {
      world.run(seconds);
      world.wallMs += 3_000_000_000;
      world.real.forEach((one) => Object.assign(one, { atS: one.atS + 3_000_000 }));
    }
    expect(world.core.bootMs("cpu")).toBeLessThan(60_000);
    expect(world.core.learned.setupMs("local/echo v")).toBeLessThan(60_000);
  });

  it("judges no machine at its start, when nobody was heard yet and the clock has made a jump", () => {
    const world = new World({ classes: { cpu: { min: 1, boot_timeout_s: 60 } } });
    world.run(5);
    world.wallMs += 3_000_000_000;
    world.real.forEach((one) => Object.assign(one, { atS: one.atS + 3_000_000 }));
    world.open();
    world.faults.away = true;
    world.run(5);
    world.faults.away = false;
    world.run(40);
    expect(world.made).toBe(1);
    expect(world.core.book.counts.neverConnected).toBe(0);
    expect(world.status().machines[0]?.state).toMatch(/connected|ready/);
  });

  it("returns nothing too early, and rents nothing twice, when the clock jumps either way", () => {
    const world = new World({ classes: { cpu: { boot_timeout_s: 60, max: 3 } } });
    world.prove("local/echo");
    world.arrive("local/echo", 30);
    world.run(10);
    expect(world.names).toHaveLength(3);
    world.wallMs += 3_600_000;
    world.real.forEach((one) => Object.assign(one, { atS: one.atS + 3600 }));
    world.run(5);
    expect(world.made).toBe(3);
    world.wallMs -= 7_200_000;
    world.real.forEach((one) => Object.assign(one, { atS: one.atS - 7200 }));
    world.run(100);
    expect(world.core.book.counts.neverConnected).toBe(0);
    expect(world.done).toHaveLength(30);
    settle(world);
    expect(world.names).toEqual([]);
  });
});
