import { expect, it, vi } from "vitest";
import { createGather } from "./gather.ts";

function setUp() {
  vi.useFakeTimers();
  const stored: string[][] = [[]];
  const gather = createGather(
    (item: string) => {
      if (item === "bad") throw new Error("refused");
      stored.at(-1)?.push(item);
      return item.toUpperCase();
    },
    { windowMs: 2, busyMs: 4 },
    () => Date.now(),
  );
  return { gather, stored };
}

it("stores one that comes alone at once, and those that follow together", async () => {
  const { gather, stored } = setUp();
  expect(await gather("a")).toBe("A");
  const both = Promise.all([gather("b"), gather("c")]);
  expect(stored).toEqual([["a"]]);
  stored.push([]);
  await vi.advanceTimersByTimeAsync(2);
  expect(await both).toEqual(["B", "C"]);
  expect(stored).toEqual([["a"], ["b", "c"]]);
  await vi.advanceTimersByTimeAsync(10);
  expect(await gather("d")).toBe("D");
  vi.useRealTimers();
});

it("refuses the one that can't be stored, and no other", async () => {
  const { gather } = setUp();
  await gather("a");
  const results = Promise.allSettled([gather("b"), gather("bad"), gather("c")]);
  await vi.advanceTimersByTimeAsync(2);
  expect((await results).map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  vi.useRealTimers();
});
