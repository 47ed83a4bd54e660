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

  it("keeps what takes no more than its bytes together, the newest first, and nothing that is larger alone", () => {
    const cache = createTtlCache<string>(100, { maxBytes: 1000, bytesOf: (text) => text.length });
    for (const name of ["a", "b", "c"]) cache.set(name, name.repeat(400), 100);
    expect(["a", "b", "c"].map((name) => cache.get(name)?.length)).toEqual([undefined, 400, 400]);
    cache.set("b", "short", 100);
    cache.set("d", "d".repeat(400), 100);
    expect(["b", "c", "d"].map((name) => cache.get(name)?.length)).toEqual([5, 400, 400]);
    cache.set("e", "e".repeat(1000), 100);
    expect(["d", "e"].map((name) => cache.get(name)?.length)).toEqual([400, undefined]);
    cache.delete("c");
    cache.delete("d");
    vi.advanceTimersByTime(100);
    cache.get("b");
    cache.set("f", "f".repeat(999), 100);
    expect(cache.get("f")).toHaveLength(999);
  });
});
