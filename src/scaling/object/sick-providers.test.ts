/**
 * Random days in small: providers fall ill in turns, clocks jump, the object starts again, and work comes all the time.
 */
import * as fc from "fast-check";
import { expect, it } from "vitest";
import { Market, Room } from "../../../test/unit/scaling/market.ts";
import type { Illness, Model } from "../../../test/unit/scaling/market.ts";
import { makeSameIds } from "../../../test/unit/scaling/same-ids.ts";
import { offer } from "../../../test/unit/scaling/world.ts";

const RUNS = 5;
const SICK = "local/sick";
const models: Model[] = [
  { name: "local/free" },
  { name: "local/other" },
  { name: "local/small", hardware: "cpu" },
  { name: "local/large", hardware: "nvidia-t4" },
  { name: SICK, isSick: true },
];
const illnesses: Illness[] = ["sold_out", "refuses", "slow", "lies", "vanishes", "away"];
const DRAIN_S = 60;
const RESTARTS_AT_S = 10;
const CPU_MAX = 4;
const DEAREST = 1.3e9;

function market(cap: number, min: number): Market {
  const times = { boot_timeout_s: 120, drain_timeout_s: DRAIN_S };
  const cpu = { min, max: CPU_MAX, ...times, monthly_cap: cap };
  const settings = { classes: { cpu, "nvidia-t4": { max: 3, ...times } } };
  const both = (price: number) => [
    offer("small", { pricePerHourNano: price }),
    offer("large", { hardware: "nvidia-t4", pricePerHourNano: 3 * price }),
  ];
  return new Market(settings, models, [
    new Room("a", both(1e9)),
    new Room("b", both(1.1e9)),
    new Room("c", both(DEAREST)),
  ]);
}

const phase = fc.record({
  lastsS: fc.integer({ min: 60, max: 900 }),
  room: fc.integer({ min: 0, max: 2 }),
  illness: fc.option(fc.constantFrom(...illnesses), { nil: null }),
  /** One arrives every so many seconds; a burst brings ten at once. */
  everyS: fc.integer({ min: 5, max: 120 }),
  isBursty: fc.boolean(),
  workS: fc.integer({ min: 1, max: 20 }),
  jumpS: fc.constantFrom(0, 0, 0, 90, -90, 7200, -7200, 3_000_000),
  restarts: fc.boolean(),
});
type Phase = typeof phase extends fc.Arbitrary<infer T> ? T : never;

makeSameIds();

function live(world: Market, phases: readonly Phase[], step: () => void): void {
  let n = 0;
  for (const { lastsS, room, illness, everyS, isBursty, workS, jumpS, restarts } of phases) {
    const ill = world.rooms[room];
    if (ill !== undefined) world.fallIll(ill, illness);
    world.jump(jumpS * 1000);
    for (let atS = 0; atS < lastsS; atS += 1) {
      // A jump that nobody was there to see is time that has passed.
      if (restarts && atS === RESTARTS_AT_S) world.open();
      const isDue = atS % (isBursty ? everyS * 10 : everyS) === 0;
      for (let left = isDue ? (isBursty ? 10 : 1) : 0; left > 0; left -= 1)
        world.arrive(models[(n += 1) % models.length]?.name ?? "", workS);
      step();
    }
    if (ill !== undefined) world.fallIll(ill, null);
  }
}

/** Two at once, and one for each time that the grace of half an hour, which doubles, may be over. */
function mostSick(world: Market, phases: readonly Phase[]): number {
  const jumps = phases.filter(({ jumpS }) => jumpS > 1800).length;
  return 2 + jumps + Math.floor(world.nowS / 1800);
}

it("stays within its bounds whatever provider is ill, wastes no boot, and serves all that can be served", () => {
  const days = fc.array(phase, { minLength: 4, maxLength: 8 });
  const runs = fc.property(days, fc.integer({ min: 0, max: 1 }), (phases, min) => {
    const world = market(50, min);
    const step = () => expect(world.step()).toEqual([]);
    live(world, phases, step);
    const waits = () => world.jobs.filter(({ model }) => model !== SICK).length;
    for (let atS = 0; atS < 7200 && waits() > 0; atS += 1) step();
    expect(waits()).toBe(0);
    expect(world.done + world.jobs.length).toBe(world.accepted);
    expect(world.wasted).toBe(0);
    expect(world.rentedFor.get(`${SICK} v`)?.size ?? 0).toBeLessThanOrEqual(mostSick(world, phases));
  });
  fc.assert(runs, { numRuns: RUNS, endOnFailure: true });
});

it("spends no more than a month's cap and what its last machines take to drain, whoever is ill", () => {
  const cap = 0.05;
  const drainNano = (CPU_MAX * DEAREST * (DRAIN_S + 20)) / 3600;
  // What a provider doesn't return it is paid for.
  const returning = phase.filter(({ illness }) => illness !== "lies" && illness !== "away");
  const runs = fc.property(fc.array(returning, { minLength: 2, maxLength: 4 }), (phases) => {
    const world = market(cap, 0);
    live(world, phases, () => {
      expect(world.step()).toEqual([]);
      expect(world.core.spentNano("cpu")).toBeLessThanOrEqual(cap * 1e9 + drainNano);
    });
  });
  fc.assert(runs, { numRuns: RUNS, endOnFailure: true });
});
