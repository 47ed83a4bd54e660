import { describe, expect, it } from "vitest";
import type { Priority } from "../contract/prediction.ts";
import { drainByWeight, newCredits, nextPriority } from "./weights.ts";
import type { Source } from "./weights.ts";

function source(priority: Priority, items: string[]): Source<string> & { left: () => number } {
  let index = 0;
  return { priority, peek: () => items[index], advance: () => void index++, left: () => items.length - index };
}
const many = (name: string, count: number): string[] => Array.from({ length: count }, (_, index) => `${name}${index}`);
const always = (): boolean => true;

describe("nextPriority", () => {
  it("serves 6 : 3 : 1 while all have something, and never the same ten times", () => {
    const credits = newCredits();
    const turns = Array.from({ length: 100 }, () => nextPriority(credits, ["high", "normal", "low"]));
    expect(turns.filter((turn) => turn === "high")).toHaveLength(60);
    expect(turns.filter((turn) => turn === "normal")).toHaveLength(30);
    expect(turns.filter((turn) => turn === "low")).toHaveLength(10);
    expect(turns.slice(0, 10)).toContain("low");
  });
});

describe("drainByWeight", () => {
  it("keeps the shares when only one is taken at a time", () => {
    const sources = [source("high", many("h", 100)), source("normal", many("n", 100)), source("low", many("l", 100))];
    const credits = newCredits();
    const taken = Array.from({ length: 50 }, (_, turn) => drainByWeight(sources, credits, 1, turn, always)).flat();
    expect(taken.filter((item) => item.startsWith("h"))).toHaveLength(30);
    expect(taken.filter((item) => item.startsWith("l"))).toHaveLength(5);
  });

  it("gives all the room to whoever has something", () => {
    const low = source("low", many("l", 7));
    expect(drainByWeight([source("high", []), low], newCredits(), 10, 0, always)).toEqual(many("l", 7));
    expect(low.left()).toBe(0);
  });

  it("keeps each source's order and lets sources of one priority take turns", () => {
    const taken = drainByWeight(
      [source("normal", ["a0", "a1"]), source("normal", ["b0", "b1"])],
      newCredits(),
      4,
      1,
      always,
    );
    expect(taken).toEqual(["b0", "a0", "b1", "a1"]);
  });

  it("stops at the first item that isn't let in, without losing it", () => {
    const only = source("normal", many("n", 5));
    let room = 2;
    expect(drainByWeight([only], newCredits(), 5, 0, () => room-- > 0)).toEqual(["n0", "n1"]);
    expect(only.peek()).toBe("n2");
  });
});
