import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { assignRange } from "./assignment.ts";
import { brokerOf, partitionsOn, laneOfTopic } from "./names.ts";

const on = (...topics: string[]): ReadonlySet<string> => new Set(topics);

describe("assignRange", () => {
  it("gives every partition one owner, and shares that differ by one at most", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.uniqueArray(fc.string({ minLength: 1 }), { minLength: 1 }),
        (count, names) => {
          const owners = assignRange(
            "t",
            count,
            names.map((instance) => ({ instance, topics: on("t") })),
          );
          expect(owners).toHaveLength(count);
          const shares = names.map((name) => owners.filter((owner) => owner === name).length);
          expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1);
        },
      ),
    );
  });

  it("doesn't depend on the order in which members came", () => {
    const [a, b] = [
      { instance: "a", topics: on("t") },
      { instance: "b", topics: on("t") },
    ];
    expect(assignRange("t", 4, [a, b])).toEqual(["a", "a", "b", "b"]);
    expect(assignRange("t", 4, [b, a])).toEqual(["a", "a", "b", "b"]);
  });

  it("leaves out who doesn't subscribe", () => {
    const members = [
      { instance: "a", topics: on("other") },
      { instance: "b", topics: on("t") },
    ];
    expect(assignRange("t", 2, members)).toEqual(["b", "b"]);
    expect(assignRange("nobody", 2, members)).toEqual([]);
  });

  it("gives one member the same partitions of a lane's three topics", () => {
    const topics = ["jobs.default.high", "jobs.default.normal", "jobs.default.low"];
    const members = ["x", "y", "z"].map((instance) => ({ instance, topics: on(...topics) }));
    const [high, normal, low] = topics.map((topic) => assignRange(topic, 8, members));
    expect(normal).toEqual(high);
    expect(low).toEqual(high);
  });
});

describe("brokerOf", () => {
  it("puts the same partition of a lane's three topics on one broker", () => {
    for (let partition = 0; partition < 8; partition++) {
      const brokers = ["high", "normal", "low"].map((name) => brokerOf(`jobs.my-lane.${name}`, partition, 5));
      expect(new Set(brokers).size).toBe(1);
    }
  });

  it("spreads a topic's partitions evenly, each on one broker", () => {
    const lists = [0, 1, 2].map((index) => partitionsOn(index, "results", 6, 3));
    expect(lists.flat().toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(lists.map((list) => list.length)).toEqual([2, 2, 2]);
  });

  it("reads lane and priority out of a job topic only", () => {
    expect(laneOfTopic("jobs.default.low")).toEqual({ lane: "default", priority: "low" });
    for (const other of ["results.low", "jobs.dlq", "jobs.low", "jobs.Not-A-Lane.low"])
      expect(laneOfTopic(other)).toBeNull();
  });
});
