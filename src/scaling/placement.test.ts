/** Packing: no machine holds more than its time and its memory, and copies stay where they are. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { place } from "./placement.ts";
import type { ModelNeed } from "./placement.ts";

const machine = { limit: 20, memoryBytes: 80 };

function need(model: string, machines: number, more: Partial<ModelNeed> = {}): ModelNeed {
  return {
    model,
    machines,
    keptMachines: 0,
    patientMachines: 0,
    memoryBytes: 30,
    swapS: 100,
    targetS: 10,
    min: 0,
    max: 50,
    ...more,
  };
}

describe("place", () => {
  it("puts small needs together, as far as memory goes", () => {
    const needs = ["a", "b", "c"].map((model) => need(model, 0.2));
    expect(place(needs, [], machine).machines).toHaveLength(2);
    expect(place(needs.slice(0, 2), [], machine).machines).toHaveLength(1);
  });

  it("lets models that are swapped in quickly share memory", () => {
    const needs = ["a", "b", "c"].map((model) => need(model, 0.2, { swapS: 1 }));
    expect(place(needs, [], machine).machines).toHaveLength(1);
  });

  it("says what finds no place, and why", () => {
    const { unmet, machines } = place([need("wide", 1, { memoryBytes: 81 }), need("a", 3)], [], {
      ...machine,
      limit: 2,
    });
    expect(machines).toHaveLength(2);
    expect(unmet).toEqual([
      { model: "wide", share: 1, reason: "too_large" },
      { model: "a", share: 1, reason: "limit" },
    ]);
  });

  it("gives patient work what is spare, and rents nothing for it", () => {
    const { machines } = place([need("now", 0.6), need("later", 0, { patientMachines: 5 })], [], machine);
    expect(machines).toHaveLength(1);
    expect(machines[0]?.copies).toEqual([
      { model: "now", share: 0.6 },
      { model: "later", share: 0.4 },
    ]);
    expect(place([need("later", 0, { patientMachines: 5 })], [], machine).machines).toHaveLength(0);
  });

  it("keeps what is there for a model, and rents nothing for that", () => {
    const needs = ["a", "b"].map((model) => need(model, 0.3, { keptMachines: 3 }));
    const ids = (there: string[]) =>
      place(
        needs,
        there.map((id) => ({ id, models: [] })),
        machine,
      ).machines.map(({ id }) => id);
    expect(ids([])).toEqual([null]);
    expect(ids(["x"])).toEqual(["x"]);
    expect(ids(["x", "y", "z"])).toEqual(["x", "y", "z"]);
    expect(ids(["v", "w", "x", "y", "z", "idle"])).toEqual(["v", "w", "x", "y", "z"]);
  });

  it("puts no model where its set-up failed", () => {
    const hosts = [{ id: "x", models: [], unfit: ["a"] }];
    expect(place([need("a", 1)], hosts, machine).machines.map(({ id }) => id)).toEqual([null]);
    expect(place([need("b", 1)], hosts, machine).machines.map(({ id }) => id)).toEqual(["x"]);
  });

  it("keeps a model where it is, and at least its minimum of copies", () => {
    const hosts = [
      { id: "x", models: ["a"] },
      { id: "y", models: ["b"] },
    ];
    const { machines } = place([need("b", 0.5), need("a", 0.1, { min: 2 })], hosts, machine);
    expect(machines.map(({ id, copies }) => [id, ...copies.map(({ model }) => model)])).toEqual([
      ["y", "b", "a"],
      ["x", "a"],
    ]);
  });

  it("fills no machine above its time or memory, misses nothing that fits, and finds the same again", () => {
    const needs = fc.uniqueArray(
      fc.record({
        model: fc.constantFrom("a", "b", "c", "d", "e"),
        machines: fc.double({ min: 0, max: 4, noNaN: true }),
        memoryBytes: fc.integer({ min: 1, max: 80 }),
        swapS: fc.constantFrom(1, 100),
        keptMachines: fc.constantFrom(0, 1, 4),
        patientMachines: fc.constantFrom(0, 0.7, 3),
        min: fc.integer({ min: 0, max: 2 }),
      }),
      { selector: ({ model }) => model },
    );
    fc.assert(
      fc.property(needs, (some) => {
        const all = some.map(({ model, machines, ...more }) => need(model, machines, more));
        const first = place(all, [], { ...machine, limit: 60 });
        expect(first.unmet).toEqual([]);
        for (const { copies } of first.machines) {
          expect(copies.reduce((sum, { share }) => sum + share, 0)).toBeLessThanOrEqual(1 + 1e-6);
          const sizes = copies.map(({ model }) => all.find((one) => one.model === model));
          const pinned = sizes
            .filter((one) => one?.swapS === 100)
            .reduce((sum, one) => sum + (one?.memoryBytes ?? 0), 0);
          expect(pinned).toBeLessThanOrEqual(80);
          expect(new Set(copies.map(({ model }) => model)).size).toBe(copies.length);
        }
        const hosts = first.machines.map(({ copies }, i) => ({
          id: `m${i}`,
          models: copies.map(({ model }) => model),
        }));
        const again = place(all, hosts, { ...machine, limit: 60 });
        expect(again.machines.length).toBeLessThanOrEqual(first.machines.length);
        expect(again.machines.every(({ id }) => id !== null)).toBe(true);
      }),
    );
  });
});
