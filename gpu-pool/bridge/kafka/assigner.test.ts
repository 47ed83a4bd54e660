import { describe, expect, it } from "vitest";
import { rangeAssigner } from "./assigner.ts";

function assign(members: Record<string, string[]>, counts: Record<string, number>) {
  const topics = new Map(
    Object.entries(counts).map(([name, partitionsCount]) => [
      name,
      { id: name, partitionsCount, partitions: [], lastUpdate: 0 },
    ]),
  );
  const result = rangeAssigner(
    "leader",
    new Map(
      Object.entries(members).map(([memberId, subscribed]) => [memberId, { memberId, version: 1, topics: subscribed }]),
    ),
    new Set(Object.keys(counts)),
    { id: "cluster", brokers: new Map(), controllerId: 1, lastUpdate: 0, topics },
  );
  const list = result.map(({ memberId, assignments }) => [
    memberId,
    Object.fromEntries([...assignments.values()].map(({ topic, partitions }) => [topic, partitions])),
  ]);
  return Object.fromEntries(list) as Record<string, Record<string, number[]>>;
}

describe("range assignment", () => {
  it("gives the same partitions of topics with equal counts to the same member", () => {
    const topics = ["high", "normal", "low"];
    const shares = assign({ b: topics, a: topics }, { high: 5, normal: 5, low: 5 });
    expect(shares).toEqual({
      a: { high: [0, 1, 2], normal: [0, 1, 2], low: [0, 1, 2] },
      b: { high: [3, 4], normal: [3, 4], low: [3, 4] },
    });
  });

  it("leaves members without a share when there are more of them than partitions", () => {
    expect(assign({ a: ["t"], b: ["t"], c: ["t"] }, { t: 2 })).toEqual({ a: { t: [0] }, b: { t: [1] }, c: {} });
  });

  it("gives a topic only to those who subscribed to it", () => {
    expect(assign({ a: ["x"], b: ["x", "y"] }, { x: 2, y: 2 })).toEqual({ a: { x: [0] }, b: { x: [1], y: [0, 1] } });
  });
});
