import { expect, it, vi } from "vitest";
import { createGather } from "./gather.ts";

function setUp({ isLone = false } = {}) {
  vi.useFakeTimers();
  const stored: string[][] = [[]];
  const gather = createGather(
    async (items: readonly string[]) => {
      stored.at(-1)?.push(...items);
      return items.map((item) => settle(item));
    },
    { windowMs: 2, busyMs: 4 },
    () => Date.now(),
  );
  return { gather: (item: string) => gather(item, isLone), stored };
}

function settle(item: string): PromiseSettledResult<string> {
  if (item === "bad") return { status: "rejected", reason: new Error("refused") };
  return { status: "fulfilled", value: item.toUpperCase() };
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

it("lets a lone client wait for nobody, however quickly it comes again", async () => {
  const { gather, stored } = setUp({ isLone: true });
  expect(await gather("a")).toBe("A");
  expect(await gather("b")).toBe("B");
  expect(stored).toEqual([["a", "b"]]);
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
