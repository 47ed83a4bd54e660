/** The rule by itself: what makes it want machines, and what lets it give them up. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BacklogRule } from "./backlog-rule.ts";
import type { Knobs } from "./backlog-rule.ts";
import { simulate } from "./simulation/simulate.ts";

const knobs: Knobs = {
  backlogS: 4,
  keepS: 60,
  windowS: 0,
  deviations: 0,
  looksAhead: false,
  keepsBusy: true,
  dayShare: 0,
  holdS: 0,
};
const one = { slots: 1, bootS: 60 };
const idle = { nowS: 0, waiting: 0, oldestWaitS: 0, running: 0, ready: 0, booting: 0 };

describe("BacklogRule", () => {
  it("wants nothing where nothing is, and a machine for the first prediction", () => {
    const rule = new BacklogRule(knobs, { slots: 8, bootS: 60 });
    expect(rule.machines(idle)).toBe(0);
    expect(rule.machines({ ...idle, waiting: 1 })).toBe(1);
  });

  it("lets what waits wait as long as it may, and no longer", () => {
    const rule = new BacklogRule(knobs, one, 2);
    // Three a machine: one runs, and the next two begin within 4 s.
    expect(rule.machines({ ...idle, running: 1, waiting: 2, ready: 1 })).toBe(1);
    expect(rule.machines({ ...idle, running: 1, waiting: 3, ready: 1 })).toBe(2);
  });

  it("covers the load that arrives, and square roots of it", () => {
    const rule = new BacklogRule({ ...knobs, windowS: 60, deviations: 2 }, one, 1);
    for (let atS = 0; atS < 60; atS += 1 / 16) rule.arrived(atS);
    // 16 arrive a second, of a second each; two square roots are 8.
    expect(rule.machines({ ...idle, nowS: 60 })).toBe(24);
  });

  it("looking ahead, orders only what will help when it serves", () => {
    const ahead = { ...knobs, windowS: 60, looksAhead: true };
    const rule = new BacklogRule(ahead, one, 2);
    for (let atS = 0; atS < 60; atS += 1) rule.arrived(atS);
    // A load of 2 slots; 8 machines do 480 s of work in a boot, and 216 s are there or surely arrive meanwhile.
    expect(rule.machines({ ...idle, nowS: 60, waiting: 42, running: 8, ready: 8 })).toBe(8);
    // With two machines, 96 s are left: 2 for the load, and 16 to end them in 6 s.
    expect(new BacklogRule(knobs, one, 2).machines({ ...idle, waiting: 48, running: 2, ready: 2 })).toBe(17);
    expect(rule.machines({ ...idle, nowS: 60, waiting: 48, running: 2, ready: 2 })).toBe(18);
  });

  it("looking ahead, concludes nothing from a single prediction", () => {
    const rule = new BacklogRule({ ...knobs, windowS: 60, looksAhead: true }, { slots: 1, bootS: 240 }, 4);
    rule.arrived(0);
    expect(rule.machines({ ...idle, waiting: 1 })).toBe(1);
  });

  it("orders nothing while those that are there will end the backlog soon enough", () => {
    const rule = new BacklogRule({ ...knobs, holdS: 100 }, one, 2);
    // In a boot two machines do 120 s of work, and 200 s more in the 100 s after it: 160 predictions in all.
    expect(rule.machines({ ...idle, running: 2, waiting: 158, ready: 2 })).toBe(2);
    expect(rule.machines({ ...idle, running: 2, waiting: 159, ready: 2 })).toBeGreaterThan(2);
    expect(rule.machines({ ...idle, waiting: 1 })).toBe(1);
  });

  it("foresees what arrives during a boot before it lets a backlog be", () => {
    const rule = new BacklogRule({ ...knobs, windowS: 60, holdS: 100 }, one, 2);
    for (let atS = 0; atS < 60; atS += 1) rule.arrived(atS);
    // A load of 2 slots brings what two machines do in a boot, so that some 200 s of work may wait: 100 predictions.
    expect(rule.machines({ ...idle, nowS: 60, running: 2, waiting: 98, ready: 2 })).toBe(2);
    expect(rule.machines({ ...idle, nowS: 60, running: 2, waiting: 103, ready: 2 })).toBeGreaterThan(2);
  });

  it("knows how long a machine has been booting, though only its next knobs ask for that", () => {
    const rule = new BacklogRule(knobs, one, 2);
    for (const nowS of [0, 59, 118]) rule.machines({ ...idle, nowS, waiting: 9, booting: nowS < 118 ? 0 : 1 });
    rule.turn({ ...knobs, backlogS: 2, looksAhead: true }, []);
    // Ordered at 59, it will have done all but 32 s of 60 s of work when another would serve; from 0 it would end all.
    expect(rule.machines({ ...idle, nowS: 148, waiting: 60, booting: 1 })).toBe(8);
  });

  it("keeps what had work, or only what was wanted", () => {
    const kept = (keepsBusy: boolean): number => {
      const rule = new BacklogRule({ ...knobs, windowS: 60, keepsBusy }, one, 2);
      rule.machines({ ...idle, running: 5, ready: 5 });
      return rule.machines({ ...idle, nowS: 30, running: 1, ready: 5 });
    };
    expect(kept(true)).toBe(5);
    expect(kept(false)).toBe(2);
  });

  it("keeps a machine for a while after it was needed", () => {
    const rule = new BacklogRule(knobs, one, 2);
    rule.machines({ ...idle, waiting: 6, ready: 2 });
    expect(rule.machines({ ...idle, nowS: 59, ready: 2 })).toBe(2);
    expect(rule.machines({ ...idle, nowS: 61, ready: 2 })).toBe(0);
  });

  it("takes up a longer window with what arrived before", () => {
    const rule = new BacklogRule(knobs, one, 1);
    const times = Array.from({ length: 600 }, (_, i) => i / 2);
    rule.turn({ ...knobs, windowS: 300 }, times);
    expect(rule.machines({ ...idle, nowS: 300 })).toBe(2);
  });

  describe("with knobs that find a queue", () => {
    /** A load of 8 slots on 8 machines, while 120 wait; the new knobs would have a machine for each. */
    const turned = (): BacklogRule => {
      const rule = new BacklogRule({ ...knobs, backlogS: 240 }, one, 8);
      const times = Array.from({ length: 300 }, (_, i) => i);
      rule.turn({ ...knobs, backlogS: 0, keepsBusy: false }, times);
      rule.limitOrders(times);
      return rule;
    };
    const behind = { ...idle, nowS: 300, waiting: 120, running: 8, ready: 8 };

    it("orders no machine for it that has less than a boot's time of work", () => {
      // 8 machines do what comes in a boot, and 1,024 slot-seconds are left: about 8 slots, and 1,024 / 68 more.
      expect(turned().machines(behind)).toBe(23);
    });

    it("lets those go on that boot already", () => {
      const rule = turned();
      expect(rule.machines({ ...behind, booting: 60 })).toBe(68);
      expect(rule.machines({ ...behind, booting: 200 })).toBe(128);
    });

    it("counts what arrives, though its knobs have no window", () => {
      const rule = turned();
      for (let atS = 300; atS < 360; atS += 0.5) rule.arrived(atS);
      expect(rule.machines({ ...behind, nowS: 360 })).toBeGreaterThan(32);
    });

    it.each([
      ["has ended", { ...behind, waiting: 0, running: 12, ready: 12 }],
      ["is so short that they ask for less themselves", { ...behind, waiting: 1, running: 6 }],
    ])("decides by its knobs alone once it %s", (_, fleet) => {
      const rule = turned();
      rule.machines(fleet);
      expect(rule.machines({ ...behind, nowS: 301 })).toBe(128);
    });
  });

  it("doesn't flap: under a steady load it changes machines less than once in the time that it keeps them", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 30 }),
        (rate, slots, backlogS) => {
          const rule = new BacklogRule({ ...knobs, backlogS, windowS: 60, deviations: 1 }, { slots, bootS: 20 });
          let [changes, before] = [0, 0];
          const counting = {
            ...bound(rule),
            machines: (fleet: Parameters<BacklogRule["machines"]>[0]) => {
              const wanted = rule.machines(fleet);
              // The start is no flapping.
              if (wanted < before && fleet.nowS > 120) changes += 1;
              before = wanted;
              return wanted;
            },
          };
          const atS = Float64Array.from({ length: rate * 1200 }, (_, i) => i / rate);
          const workS = Float64Array.from(atS, () => 2);
          simulate({ atS, workS }, { bootS: 20, slots, billingS: 1, lossPerHour: 0 }, { policy: counting, everyS: 1 });
          expect(changes).toBeLessThanOrEqual(1200 / knobs.keepS);
        },
      ),
      { numRuns: 30 },
    );
  });
});

function bound(rule: BacklogRule) {
  return {
    usesPaidTime: rule.usesPaidTime,
    arrived: (atS: number) => rule.arrived(atS),
    started: () => {},
    finished: (atS: number, workS: number) => rule.finished(atS, workS),
    booted: () => {},
    wakeAtS: () => Infinity,
  };
}
