/** What machines may cost, and which offers are taken. */
import { describe, expect, it } from "vitest";
import { offer, World } from "../../../test/unit/scaling/world.ts";

describe("money", () => {
  it("stops renting at the month's cap, whatever waits, and begins again with the next month", () => {
    const world = new World({ classes: { cpu: { max: 8, monthly_cap: 1 } } });
    world.offers = [offer("small", { billingIncrementS: 60, pricePerHourNano: 30e9 })];
    world.run(900, () => world.arrive("local/echo", 4));
    const { classes, spentNano } = world.status();
    expect(spentNano).toBeLessThanOrEqual(1.5e9);
    expect(world.names).toEqual([]);
    expect(classes[0]?.why).toContain("the spending cap pays for 0 at most");
    world.jobs = [];
    world.run(60);
    expect(world.core.isActive).toBe(false);
    world.wallMs = Date.UTC(2026, 11, 1);
    world.arrive("local/echo");
    world.run(2);
    expect(world.names.length).toBeGreaterThan(0);
  });

  it("spends a month's cap once, and no other month's, though the clock shows another month for a while", () => {
    const world = new World({ classes: { cpu: { max: 8, monthly_cap: 1 } } });
    world.offers = [offer("small", { billingIncrementS: 60, pricePerHourNano: 3e9 })];
    const busy = (atS: number) => atS % 4 === 0 && world.arrive("local/echo", 2, 30);
    const jump = (ms: number) => {
      world.wallMs += ms;
      world.real.forEach((one) => Object.assign(one, { atS: one.atS + ms / 1000 }));
    };
    world.run(120, busy);
    const before = world.core.spentNano();
    expect(before).toBeGreaterThan(0.3e9);
    jump(40 * 86_400_000);
    world.run(60, busy);
    expect(world.core.spentNano()).toBeGreaterThanOrEqual(before);
    expect(world.core.spentNano()).toBeLessThan(1.5e9);
    for (const name of world.names) world.kill(name);
    world.run(60);
    jump(-40 * 86_400_000);
    world.run(400, busy);
    expect(world.core.spentNano()).toBeGreaterThanOrEqual(0.8e9);
    expect(world.core.spentNano()).toBeLessThanOrEqual(1.5e9);
    // What stood at the wrong time is not next month's.
    world.jobs = [];
    world.run(60);
    world.wallMs = Date.UTC(2026, 11, 1);
    world.run(1);
    expect(world.core.spentNano()).toBe(0);
  });

  it.each([
    { names: ["a", "b", "c", "d"], billingIncrementS: 3600, perHour: 0.9, cap: 1, forS: 300 },
    { names: ["a", "b"], billingIncrementS: 600, perHour: 12, cap: 6.5, forS: 1500 },
  ])("spends a cap over all classes once: %j", ({ names, perHour, cap, forS, ...billed }) => {
    const classes = Object.fromEntries(names.map((name) => [name, { max: 1 }]));
    const models = Object.fromEntries(names.map((name) => [`local/${name}`, { hardware: name }]));
    const world = new World({ classes, monthly_cap: cap, models }, Object.keys(models));
    const price = { ...billed, pricePerHourNano: perHour * 1e9 };
    world.offers = names.map((name) => offer(name, { ...price, hardware: name }));
    world.runsOn = (model, id) => model === `local/${id}`;
    world.run(forS, (atS) => atS % 5 === 0 && Object.keys(models).forEach((model) => world.arrive(model)));
    expect(world.core.spentNano()).toBeLessThanOrEqual(cap * 1e9);
    expect(world.core.spentNano()).toBeGreaterThan((cap * 1e9) / 2);
  });

  it("believes a clock that stays ahead after an hour, and counts no machine for the time that never was", () => {
    const world = new World({ classes: { cpu: { min: 1, monthly_cap: 100 } } });
    world.offers = [offer("small", { pricePerHourNano: 1e9 })];
    world.run(100);
    world.wallMs += 40 * 86_400_000;
    world.run(3700);
    expect(new Date(world.core.billingMs()).toISOString()).toContain("2026-12-20");
    expect(world.core.spentNano()).toBeLessThan(1.1e9);
    expect(world.core.spentNano()).toBeGreaterThan(0.9e9);
  });

  it("doubts a jump of the clock beyond the object's end", () => {
    const world = new World({ classes: { cpu: { min: 1, monthly_cap: 100 } } });
    world.offers = [offer("small", { pricePerHourNano: 1e9 })];
    world.run(100);
    world.wallMs += 40 * 86_400_000;
    world.run(60);
    world.open();
    world.run(60);
    expect(world.core.spentNano()).toBeLessThan(0.1e9);
    expect(new Date(world.core.billingMs()).toISOString()).toContain("2026-11-10");
    world.run(3600);
    expect(new Date(world.core.billingMs()).toISOString()).toContain("2026-12-20");
    expect(world.core.spentNano()).toBeLessThan(1.2e9);
    // Set back while nobody looks, it is believed at once: the doubt was right.
    world.wallMs += 40 * 86_400_000;
    world.run(60);
    world.wallMs -= 40 * 86_400_000;
    world.open();
    world.run(60);
    expect(new Date(world.core.billingMs()).toISOString()).toContain("2026-12-20");
    expect(world.core.spentNano()).toBeLessThan(1.3e9);
  });

  it("takes offers by price, currency and filters, and the providers' order", () => {
    const world = new World({ classes: { cpu: { offers: { price_per_hour: 2, reliability: 0.9 } } } });
    world.offers = [
      offer("euro", { currency: "EUR", pricePerHourNano: 1 }),
      offer("shaky", { reliability: 0.5, pricePerHourNano: 2 }),
      offer("spot", { spot: true, pricePerHourNano: 3, reliability: 1 }),
      offer("dear", { pricePerHourNano: 3e9, reliability: 1 }),
      offer("fits", { pricePerHourNano: 2e9, reliability: 0.95 }),
    ];
    world.arrive("local/echo");
    world.run(2);
    expect(world.status().machines.map((one) => one.offer)).toEqual(["fits"]);
    world.offers = world.offers.filter(({ id }) => id !== "fits");
    world.arrive("local/echo", 100, 60);
    world.run(5);
    expect(world.names).toHaveLength(1);
    expect(world.status().classes[0]?.why).toContain("None can be rented: none of 4 offers does: euro is in EUR");
  });

  it("counts a machine whose provider is gone until it is told to forget it, and none that is heard", () => {
    const world = new World({ classes: { cpu: { min: 1 } } });
    world.run(5);
    const id = world.core.book.all()[0]?.id ?? "";
    expect(world.core.forget("m000000000000")).toBeNull();
    expect(world.core.forget(id)).toContain("The service of fake is heard");
    world.run(30);
    world.faults.away = true;
    world.run(100);
    expect(world.core.forget(id)).toContain("is connected: the machine is there");
    world.kill(`edgeplane-${id}`);
    const before = world.core.spentNano();
    world.run(1);
    expect(world.core.forget(id)).toBe(true);
    world.run(60);
    expect(world.core.spentNano() - before).toBeLessThan(before / 20);
    expect(world.core.book.get(id)).toBeUndefined();
  });
});
