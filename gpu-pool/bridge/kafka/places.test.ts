import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { keyOf, Places } from "./places.ts";
import type { RestRecord } from "./records.ts";

const record = (topic: string, partition: number, offset: number, value = "v"): RestRecord => ({
  ...{ topic, partition, offset, timestamp: 0, key: "", value, headers: [] },
});

function filled(layout: Record<string, number>, weightOf = (_topic: string) => 1): Places {
  const places = new Places(weightOf);
  for (const [topic, count] of Object.entries(layout)) {
    places.add({ topic, partition: 0 }, BigInt(count));
    places
      .get({ topic, partition: 0 })
      ?.buffer.push(...Array.from({ length: count }, (_, offset) => record(topic, 0, offset)));
  }
  return places;
}

describe("a member's places", () => {
  it("hand out in turns, by weight, within the room", () => {
    const places = filled({ high: 100, low: 100 }, (topic) => (topic === "high" ? 6 : 1));
    const taken = places.drain(14, 1e9);
    expect(taken.filter(({ topic }) => topic === "high")).toHaveLength(12);
    expect(taken.map(({ offset, topic }) => (topic === "high" ? offset : -1)).filter((offset) => offset >= 0)).toEqual([
      ...Array(12).keys(),
    ]);
  });

  it("hand out one record however large, and then stay within the bytes", () => {
    const places = filled({ a: 0 });
    places.get({ topic: "a", partition: 0 })?.buffer.push(record("a", 0, 0, "x".repeat(5000)), record("a", 0, 1));
    expect(places.drain(10, 100)).toHaveLength(1);
    expect(places.drain(10, 100)).toHaveLength(1);
  });

  it("count headers to the bytes of a reply", () => {
    const places = filled({ a: 0 });
    const heavy = (offset: number) => ({ ...record("a", 0, offset), headers: [{ key: "h", value: "x".repeat(5000) }] });
    places.get({ topic: "a", partition: 0 })?.buffer.push(heavy(0), heavy(1), heavy(2));
    expect(places.drain(10, 11_000)).toHaveLength(2);
  });

  it("know what to commit, and forget it once that was committed", () => {
    const places = filled({ a: 5 });
    places.drain(3, 1e9);
    expect(places.uncommitted).toEqual([{ topic: "a", partition: 0, offset: 3 }]);
    places.settle([{ topic: "a", partition: 0, offset: 2 }]);
    expect(places.uncommitted).toHaveLength(1);
    places.settle([{ topic: "a", partition: 0, offset: 3 }]);
    expect(places.uncommitted).toEqual([]);
  });

  it("drop what was put back for a partition that left", () => {
    const places = filled({ a: 2 });
    const taken = places.drain(2, 1e9);
    places.keepOnly(new Set([keyOf({ topic: "b", partition: 0 })]));
    places.putBack(taken);
    expect(places.drain(2, 1e9)).toEqual([]);
  });

  it("hand out every record once and in order, whatever is put back", () => {
    const layout = fc.dictionary(fc.constantFrom("a", "b", "c"), fc.integer({ min: 0, max: 30 }));
    const steps = fc.array(fc.record({ room: fc.integer({ min: 1, max: 9 }), lost: fc.boolean() }), {
      minLength: 1,
      maxLength: 40,
    });
    fc.assert(
      fc.property(layout, steps, (counts, rounds) => {
        const places = filled(counts);
        const kept: RestRecord[] = [];
        for (const { room, lost } of [...rounds, { room: 1000, lost: false }]) {
          const taken = places.drain(room, 1e9);
          if (lost) places.putBack(taken);
          else kept.push(...taken);
        }
        for (const [topic, count] of Object.entries(counts)) {
          expect(kept.filter((entry) => entry.topic === topic).map(({ offset }) => offset)).toEqual([
            ...Array(count).keys(),
          ]);
        }
      }),
    );
  });
});
