/** The scaler with a provider that goes by the protocol. */
import { describe, expect, it } from "vitest";
import { offer, World } from "../../../test/unit/scaling/world.ts";

/** Until nothing is left, within ten minutes. */
function settle(world: World): void {
  for (let n = 0; n < 60 && (world.real.size > 0 || world.core.book.size > 0); n += 1) world.run(10);
}

describe("from zero and back", () => {
  it("rents a machine for the first prediction at once, and returns it when nothing is left to do", () => {
    const world = new World();
    world.run(5);
    expect(world.core.isActive).toBe(false);
    world.arrive("local/echo");
    world.run(1);
    expect(world.names).toHaveLength(1);
    expect(world.status().classes[0]?.why).toContain("1 machine is wanted");
    expect(world.status().models[0]?.why).toMatch(
      /^1 wait, and there were such for \d+ s; 0 run\. None has ended yet\. /,
    );
    world.run(30);
    expect(world.done).toHaveLength(1);
    expect(world.status().models[0]?.why).toMatch(/^None waits; 0 run\. One takes 2\.00 s of a machine\. /);
    expect(world.status().machines[0]?.state).toBe("ready");
    settle(world);
    expect(world.names).toEqual([]);
    expect(world.core.isActive).toBe(false);
    expect(world.made).toBe(1);
  });

  it("wants a machine for as long as something waits, though none stays that is idle", () => {
    const world = new World({ classes: { cpu: { keep_alive_s: { min: 0, max: 0 } } } });
    world.arrive("local/echo");
    world.run(1);
    // The lane tells what has changed: nothing.
    world.wallMs += 10_000;
    world.core.tick();
    expect(world.status().classes[0]?.wanted).toBe(1);
  });

  it("keeps no machine longer than its class allows, though its model would", () => {
    const world = new World({ classes: { cpu: { keep_alive_s: { min: 0, max: 10 } } } });
    world.run(900, (atS) => {
      if (atS % 30 === 0) world.arrive("local/echo");
    });
    for (let n = 0; n < 60 && world.jobs.length > 0; n += 1) world.run(1);
    expect(world.jobs).toEqual([]);
    world.run(15);
    expect(world.names).toEqual([]);
  });

  it("leaves no machine for what is handed over to its pool, and so neither waits nor runs for a moment", () => {
    const world = new World({ classes: { cpu: { keep_alive_s: { min: 0, max: 0 } } } });
    world.setupS = 10;
    world.arrive("local/echo");
    world.run(23);
    const handedOver = world.jobs;
    world.jobs = [];
    world.run(4);
    world.jobs = handedOver;
    world.run(30);
    expect(world.done).toHaveLength(1);
    expect(world.made).toBe(1);
    settle(world);
    expect(world.names).toEqual([]);
  });

  it("stays within its bounds under a burst, ends every prediction once, and comes back to min", () => {
    const world = new World({ classes: { cpu: { min: 1, max: 4, target_wait_s: 5 } } });
    world.run(400, (atS) => {
      if (atS > 10 && atS < 60) world.arrive("local/echo", 3);
    });
    expect(world.done).toHaveLength(147);
    expect(world.most).toBe(4);
    for (let n = 0; n < 60 && world.real.size > 1; n += 1) world.run(10);
    world.run(60);
    expect(world.names).toHaveLength(1);
  });

  it("drains nothing after a restart until it is read what the versions that are asked for wish", () => {
    const world = new World({ classes: { cpu: { max: 1, keep_alive_s: { min: 0, max: 0 } } } });
    world.arrive("local/echo", 1, 600);
    world.run(60);
    const states = () => world.core.book.all().map(({ state }) => state);
    expect(states()).toEqual(["ready"]);
    world.open(false);
    world.run(180);
    expect(states()).toEqual(["ready"]);
    world.core.wish([], [{ model: "local/other", version: "v" }]);
    world.run(120);
    expect(states()).toEqual(["ready"]);
    world.core.wish([], [{ model: "local/echo", version: "v" }]);
    world.run(120);
    expect(states()).toEqual(["draining"]);
  });

  it("goes on after a restart in the middle as if nothing had happened", () => {
    const world = new World({ classes: { cpu: { max: 4 } } });
    world.prove("local/echo");
    world.arrive("local/echo", 40);
    world.run(10);
    const before = world.names.toSorted();
    expect(before).toHaveLength(4);
    for (let n = 0; n < 10; n += 1) {
      world.open();
      world.run(7);
      expect(world.most).toBe(4);
    }
    expect(world.made).toBe(4);
    settle(world);
    expect(world.done).toHaveLength(40);
    expect(world.names).toEqual([]);
  });

  it("keeps what a deployment asks to be kept, as far as the settings let it, and no more than one is returned for", () => {
    const deployments = [{ hardware: "cpu", min: 3, max: 5 }];
    const world = new World({ deployment_min: 2 }, ["local/echo"], { deployments });
    world.run(60);
    expect(world.names).toHaveLength(2);
    expect(world.core.isActive).toBe(true);
  });

  it("rests though a deployment asks for machines, where the settings let it keep none or no class is its own", () => {
    const deployments = [{ hardware: "cpu", min: 3, max: 5 }];
    const refused = new World({ deployment_min: 0 }, ["local/echo"], { deployments });
    const strange = new World({}, ["stranger/echo"], { deployments });
    for (const world of [refused, strange]) {
      world.run(5);
      expect(world.core.isActive).toBe(false);
    }
  });
});

describe("time that no pool meters", () => {
  it("is told to the meter: the boot, what passes until a pool is back, and what passes until the machine is gone", () => {
    const world = new World({ classes: { cpu: { min: 1 } } });
    world.run(30);
    const [name = ""] = world.names;
    const real = world.real.get(name);
    expect(world.metered.map(({ phase, gpuUs }) => [phase, gpuUs])).toEqual([["boot", 19_000_000]]);
    const lengthsMs = () => world.metered.map(({ fromMs, toMs }) => toMs - fromMs);
    world.core.book.poolEnded(name.slice("edgeplane-".length), real?.session ?? "");
    Object.assign(real ?? {}, { session: null, atS: world.nowS });
    world.run(60);
    expect(world.metered.map(({ phase }) => phase)).toEqual(["boot", "unused"]);
    expect(lengthsMs()).toEqual([19_000, 20_000]);
    expect(new Set(world.metered.map(({ id }) => id)).size).toBe(2);
  });

  it("ends where its pool began to tell, however long that took to say hello, or was not heard", () => {
    const world = new World({ classes: { cpu: { min: 1 } } });
    world.run(10);
    const { book } = world.core;
    const id = world.names[0]?.slice("edgeplane-".length) ?? "";
    const now = world.wallMs;
    book.connected(id, "session-late", 1, now - 3000);
    world.run(1);
    const [boot] = world.metered;
    expect(boot).toMatchObject({ phase: "boot", toMs: now - 3000 });
    book.poolEnded(id, "session-late");
    world.run(3);
    book.connected(id, "session-late", 1, now - 3000);
    world.run(1);
    expect(world.metered).toEqual([boot]);
  });
});

describe("classes and models", () => {
  it("rents for each model in the class that it names", () => {
    const world = new World(
      { classes: { "nvidia-a100-80gb": { max: 2 } }, models: { "local/big": { hardware: "nvidia-a100-80gb" } } },
      ["local/echo", "local/big"],
    );
    world.offers = [offer("small"), offer("large", { hardware: "nvidia-a100-80gb", pricePerHourNano: 2e9 })];
    world.arrive("local/big");
    world.arrive("local/echo");
    world.run(2);
    expect(
      world
        .status()
        .machines.map(({ hardware }) => hardware)
        .toSorted(),
    ).toEqual(["cpu", "nvidia-a100-80gb"]);
    expect(world.status().models.find(({ model }) => model === "local/big")?.hardware).toBe("nvidia-a100-80gb");
  });

  it("stays with the class of a model that names none until another is cheaper by a fifth, over restarts too", () => {
    const world = new World();
    const rented = () => world.status().machines.map((one) => one.offer);
    const offers = (small: number, other: number) => {
      world.offers = [
        offer("small", { pricePerHourNano: small }),
        offer("other", { pricePerHourNano: other, hardware: "nvidia-t4" }),
      ];
    };
    // What was offered first; a look, a minute, or a restart later, the other is a little cheaper.
    offers(1e9, 1.01e9);
    for (let n = 0; n < 12; n += 1) {
      world.arrive("local/echo", 2, 20);
      world.run(30);
      expect(new Set(rented())).toEqual(new Set(["small"]));
      offers(1e9, n % 2 === 0 ? 0.85e9 : 1.2e9);
      if (n % 3 === 0) world.open();
    }
    offers(1e9, 0.7e9);
    world.run(65);
    world.arrive("local/echo", 2, 20);
    world.run(5);
    expect(world.status().models[0]?.hardware).toBe("nvidia-t4");
    world.offers = [offer("small")];
    settle(world);
    world.arrive("local/echo");
    world.run(5);
    expect(rented()).toEqual(["small"]);
  });

  it("takes the next class where the cheapest is sold out, and goes back only once that one serves", () => {
    const world = new World({ classes: { cpu: { max: 1 }, "nvidia-t4": { max: 1 } } });
    world.offers = [offer("cheap", { pricePerHourNano: 0.1e9 }), offer("dear", { hardware: "nvidia-t4" })];
    world.faults.refuse = (id) => (id === "cheap" ? "sold_out" : null);
    const there = () => world.status().machines.map((one) => `${one.hardware} ${one.state}`);
    world.run(100);
    world.arrive("local/echo", 2, 2);
    world.run(40);
    expect(world.done).toHaveLength(2);
    // What is asked for again every five minutes, in vain, takes no machine away.
    world.run(1500, () => world.arrive("local/echo", 1, 1));
    expect(world.made).toBe(1);
    expect(there()).toEqual(["nvidia-t4 ready"]);
    world.faults = {};
    let gap = 0;
    world.run(400, () => {
      world.arrive("local/echo", 1, 1);
      gap = there().some((one) => one.endsWith("ready")) ? 0 : gap + 1;
      expect(gap).toBeLessThan(3);
    });
    expect(there()).toEqual(["cpu ready"]);
    expect(world.made).toBe(2);
  });

  it("doesn't leave a machine that boots for longer than what is sold out is left alone", () => {
    const world = new World({ classes: { cpu: { max: 1 }, "nvidia-t4": { max: 1 } } });
    world.offers = [offer("cheap", { pricePerHourNano: 0.1e9 }), offer("dear", { hardware: "nvidia-t4" })];
    world.faults.refuse = (id) => (id === "cheap" ? "sold_out" : null);
    world.bootS = 400;
    world.run(100);
    world.arrive("local/echo", 2, 2);
    world.run(200);
    world.faults = {};
    world.run(220);
    expect(world.done).toHaveLength(2);
  });

  it("waits at its start for who offers a model's class before it takes another", () => {
    const world = new World();
    const [small, other] = [offer("small"), offer("other", { hardware: "nvidia-t4", pricePerHourNano: 1.1e9 })];
    world.offers = [small, other];
    world.arrive("local/echo");
    world.run(60);
    settle(world);
    world.open();
    world.offers = [other];
    world.run(5);
    world.arrive("local/echo");
    world.run(3);
    world.offers = [small, other];
    world.run(20);
    expect(world.status().machines.map((one) => one.offer)).toEqual(["small"]);
  });

  it("compares no prices of two currencies: a class that is offered in another one is nobody's cheapest", () => {
    const world = new World();
    world.offers = [offer("euro", { currency: "EUR", pricePerHourNano: 1, hardware: "nvidia-t4" }), offer("small")];
    world.arrive("local/echo");
    world.run(2);
    expect(world.status().machines.map((one) => one.offer)).toEqual(["small"]);
  });

  it("puts models that need little on one machine", () => {
    const models = ["local/a", "local/b", "local/c"];
    const world = new World({}, models);
    for (const model of models) world.arrive(model, 1, 0.5);
    world.run(3);
    expect(world.names).toHaveLength(1);
  });

  it("rents nothing for a model whose owner no class names, and says so", () => {
    const world = new World({}, ["stranger/echo"]);
    world.arrive("stranger/echo", 5);
    world.run(5);
    expect(world.names).toEqual([]);
    expect(world.status().models[0]?.why).toContain("no class has the owner stranger among its owners");
  });

  it("stops renting for a model whose set-up fails after two machines, says why, and serves the others", () => {
    const world = new World({ classes: { cpu: { max: 8 } } }, ["local/echo", "local/sick"]);
    world.faults.sick = "local/sick";
    world.arrive("local/sick", 50);
    world.run(300);
    const { models } = world.status();
    expect(world.made).toBe(2);
    expect(models.find(({ model }) => model === "local/sick")?.why).toMatch(
      /its set-up failed on \d+ machines that ran it, so none is rented for it until .*: no module named torch/,
    );
    world.run(600);
    expect(world.made).toBe(2);
    world.arrive("local/echo");
    world.run(60);
    expect(world.done).toHaveLength(1);
  });

  it("asks at most two machines of a model that is sick from the start, one by one", () => {
    const world = new World({ classes: { cpu: { max: 8 } } }, ["local/sick"]);
    world.faults.sick = "local/sick";
    world.run(1500, (atS) => {
      if (atS % 100 === 0) world.arrive("local/sick");
    });
    expect(world.made).toBe(2);
    expect(world.names).toEqual([]);
  });

  it("counts a set-up that fails later, though predictions were granted to the machine meanwhile", () => {
    const world = new World({ classes: { cpu: { max: 8 } } }, ["local/sick"]);
    Object.assign(world.faults, { sick: "local/sick", sickAfterS: 10 });
    world.run(1500, (atS) => {
      if (atS % 100 === 0) world.arrive("local/sick");
    });
    expect(world.made).toBe(2);
  });
});

describe("low priority", () => {
  it("rents nothing until what waits can't wait any longer, and takes spare time before that", () => {
    const world = new World({ classes: { cpu: { low_priority_wait_s: 300 } } });
    world.arrive("local/echo", 5, 2, true);
    world.run(150);
    expect(world.made).toBe(0);
    world.run(150);
    expect(world.done).toHaveLength(5);
    expect(world.made).toBe(1);
    settle(world);
    world.arrive("local/echo", 5, 2, true);
    world.run(2);
    expect(world.names).toEqual([]);
    world.arrive("local/echo");
    world.run(60);
    expect(world.done).toHaveLength(11);
    expect(world.made).toBe(2);
  });
});
