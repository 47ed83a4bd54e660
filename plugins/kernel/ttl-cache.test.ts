import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createTtlCache } from "./ttl-cache.ts";

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

describe("the cache", () => {
  it("forgets an entry when its time is over", () => {
    const cache = createTtlCache<number>(10);
    cache.set("a", 1, 100);
    vi.advanceTimersByTime(99);
    expect(cache.get("a")).toBe(1);
    vi.advanceTimersByTime(1);
    expect(cache.get("a")).toBeUndefined();
  });

  it("keeps at most so many entries, and the newest", () => {
    const cache = createTtlCache<number>(2);
    for (const [index, name] of ["a", "b", "a", "c"].entries()) cache.set(name, index, 100);
    expect(["a", "b", "c"].map((name) => cache.get(name))).toEqual([2, undefined, 3]);
  });
});
