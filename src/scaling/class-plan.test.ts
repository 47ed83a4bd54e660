/** The plan for a class: within its bounds whatever happens, steady under a steady need, and the cheapest leaves. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ClassPlanner } from "./class-plan.ts";
import type { ClassBounds, ClassFleet, ClassMachine, ClassPlan } from "./class-plan.ts";
import { leaving, leavesAheadS } from "./leaving.ts";
import type { ModelNeed } from "./placement.ts";

const bounds: ClassBounds = {
  min: 0,
  max: 20,
  memoryBytes: 80,
  spending: { capNano: null, spentNano: 0 },
  pricePerHourNano: 3600,
  aheadS: 60,
  spot: null,
  everyS: 1,
};

function need(model: string, machines: number, more: Partial<ModelNeed> = {}): ModelNeed {
  return {
    model,
    machines,
    keptMachines: 0,
    patientMachines: 0,
    memoryBytes: 20,
    swapS: 100,
    targetS: 10,
    min: 0,
    max: 50,
    ...more,
  };
}

function machine(id: string, more: Partial<ClassMachine> = {}): ClassMachine {
  const idle = { runningS: 0, bringBackS: 0, paidForS: 0, pricePerHour: 1, rentedAtS: 0 };
  return { id, models: [], state: "ready", isSpot: false, ...idle, ...more };
}

const fleetOf = (nowS: number, ...machines: ClassMachine[]): ClassFleet => ({ nowS, machines, leaving: 0 });

/** Carries plans out at once: what is ordered serves at the next look, what is drained is gone. */
class Carried {
  readonly #planner: ClassPlanner;
  readonly #bounds: ClassBounds;
  #next = 0;
  machines: ClassMachine[] = [];
  ordered = 0;
  drained = 0;

  constructor(keepS: number, bounds: ClassBounds) {
    this.#planner = new ClassPlanner(keepS);
    this.#bounds = bounds;
  }

  look(nowS: number, needs: readonly ModelNeed[]): ClassPlan {
    const plan = this.#planner.plan({ nowS, machines: this.machines, leaving: 0 }, needs, this.#bounds);
    const stay = this.machines.filter(({ id }) => !plan.drain.includes(id));
    const placed = new Map(plan.placement.machines.map(({ id, copies }) => [id, copies.map(({ model }) => model)]));
    const fresh = (count: number, isSpot: boolean) =>
      Array.from({ length: count }, () => machine(`m${(this.#next += 1)}`, { isSpot, rentedAtS: nowS }));
    this.machines = [
      ...stay.map((one) => ({ ...one, models: placed.get(one.id) ?? one.models })),
      ...fresh(plan.order.spot, true),
      ...fresh(plan.order.onDemand, false),
    ];
    this.ordered += plan.order.spot + plan.order.onDemand;
    this.drained += plan.drain.length;
    return plan;
  }
}

const someNeeds = fc.array(fc.tuple(fc.constantFrom("a", "b", "c", "d"), fc.double({ min: 0, max: 9, noNaN: true })), {
  maxLength: 4,
});
const needsOf = (pairs: [string, number][]): ModelNeed[] =>
  [...new Map(pairs)].map(([model, machines], i) => need(model, machines, { memoryBytes: 15 * (i + 1) }));

describe("ClassPlanner", () => {
  it("orders what the models need, and says why", () => {
    const plan = new ClassPlanner(60).plan(fleetOf(0, machine("x")), [need("a", 2.2)], bounds);
    expect(plan.order).toEqual({ spot: 0, onDemand: 2 });
    expect(plan.why).toBe("3 machines are wanted, 1 there: the models need 3.");
  });

  it("puts two models whose peaks alternate on the machines of one", () => {
    const carried = new Carried(60, bounds);
    for (let nowS = 0; nowS < 600; nowS += 1) {
      const peak = Math.floor(nowS / 100) % 2 === 0;
      carried.look(nowS, [need("day", peak ? 3.5 : 0.5), need("night", peak ? 0.5 : 3.5)]);
    }
    expect(carried.ordered).toBe(4);
    expect(carried.drained).toBe(0);
  });

  it("stops at the spending cap whatever is needed, and lets go of what can be paid no longer", () => {
    const spending = { capNano: 1000, spentNano: 880 };
    const ordering = new ClassPlanner(60).plan(fleetOf(0), [need("a", 9)], { ...bounds, spending });
    expect(ordering.order.onDemand).toBe(2);
    expect(ordering.why).toContain("the spending cap pays for 2 at most");
    const over = { ...bounds, min: 1, spending: { ...spending, spentNano: 1000 } };
    expect(new ClassPlanner(60).plan(fleetOf(0, machine("x")), [need("a", 9)], over).drain).toEqual(["x"]);
  });

  it("gives a model another machine where its set-up failed, and lets go of that one then", () => {
    const planner = new ClassPlanner(0);
    const failed = machine("failed", { unfit: ["a"] });
    const first = planner.plan(fleetOf(0, failed), [need("a", 1)], bounds);
    expect(first.order.onDemand).toBe(1);
    expect(first.why).toBe(
      "2 machines are wanted, 1 there: the models need 1, for 1 of which none that is there will do.",
    );
    const plan = planner.plan(fleetOf(1, failed, machine("other")), [need("a", 1)], bounds);
    expect(plan.order.onDemand).toBe(0);
    expect(plan.drain).toEqual(["failed"]);
  });

  it("counts what drains against the maximum", () => {
    const plan = new ClassPlanner(60).plan({ nowS: 0, machines: [], leaving: 3 }, [need("a", 4)], {
      ...bounds,
      max: 4,
    });
    expect(plan.order.onDemand).toBe(1);
  });

  it("drains the machine whose leaving costs least, and none that is paid for", () => {
    const planner = new ClassPlanner(0);
    const machines = [
      machine("busy", { runningS: 900 }),
      machine("warm", { bringBackS: 300, models: ["b"] }),
      machine("idle"),
      machine("paid", { paidForS: 1800 }),
    ];
    const drained = (count: number): string[] =>
      planner.plan(fleetOf(0, ...machines), [], { ...bounds, min: machines.length - count }).drain;
    expect(drained(1)).toEqual(["idle"]);
    expect(drained(2)).toEqual(["idle", "warm"]);
    expect(drained(4)).toEqual(["idle", "warm", "busy"]);
    expect(planner.plan(fleetOf(0, ...machines, machine("boots", { state: "booting" })), [], bounds).drain[0]).toBe(
      "boots",
    );
  });

  it("lets no machine go that is about to serve, for one that is paid for longer", () => {
    const machines = [
      machine("next", { state: "booting", rentedAtS: 0 }),
      machine("later", { state: "booting", rentedAtS: 50, paidForS: 50 }),
    ];
    expect(leaving(machines, 1, 2)).toEqual([]);
    expect(leaving(machines, 2, 2)).toEqual(["next"]);
  });

  it("lets go of what runs something the earlier, the longer that may take and the more another increment costs", () => {
    const hourly = { billingS: 3600, bootS: 60 };
    expect(leavesAheadS(0, 4, hourly)).toBe(0);
    expect(leavesAheadS(1, 4, hourly)).toBeCloseTo(4 * Math.log(900));
    expect(leavesAheadS(8, 4, hourly)).toBeCloseTo(4 * Math.log(7200));
    expect(leavesAheadS(8, 4, { ...hourly, bootS: 3600 })).toBe(0);
  });

  it("takes spot machines with spares, and machines on demand until they serve", () => {
    const spot = { lossPerHour: 1, bootS: 120, spotPrice: 1, onDemandPrice: 3 };
    const carried = new Carried(0, { ...bounds, spot });
    const first = carried.look(0, [need("a", 4)]);
    expect(first.order.spot).toBeGreaterThan(4);
    expect(first.order.onDemand).toBe(4);
    expect(carried.look(1, [need("a", 4)]).wanted.onDemand).toBe(0);
    expect(carried.machines.every(({ isSpot }) => isSpot)).toBe(true);
  });

  it("is never above its maximum, and never below its minimum", () => {
    fc.assert(
      fc.property(
        fc.array(someNeeds, { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 0, max: 4 }),
        fc.integer({ min: 4, max: 12 }),
        fc.constantFrom(null, { lossPerHour: 2, bootS: 120, spotPrice: 1, onDemandPrice: 4 }),
        (looks, min, max, spot) => {
          const carried = new Carried(3, { ...bounds, min, max, spot });
          for (const [nowS, pairs] of looks.entries()) {
            carried.look(nowS, needsOf(pairs));
            expect(carried.machines.length).toBeLessThanOrEqual(max);
            expect(carried.machines.length).toBeGreaterThanOrEqual(min);
          }
        },
      ),
    );
  });

  it("doesn't flap: it drains nothing while what it drained would be needed again before a machine's time to stay", () => {
    fc.assert(
      fc.property(fc.array(someNeeds, { minLength: 2, maxLength: 5 }), (looks) => {
        const carried = new Carried(looks.length, bounds);
        for (let nowS = 0; nowS < 6 * looks.length; nowS += 1)
          carried.look(nowS, needsOf(looks[nowS % looks.length] ?? []));
        expect(carried.drained).toBe(0);
      }),
    );
  });
});
