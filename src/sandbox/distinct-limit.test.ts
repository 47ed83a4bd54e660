import { expect, test } from "vitest";
import { DistinctLimit } from "./distinct-limit.ts";

function world(limit: number) {
  const gate = new DistinctLimit(limit);
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const call = (key: string, name = key): Promise<void> =>
    gate.run(key, () => {
      begun.push(name);
      return new Promise<void>((resolve) => ends.set(name, resolve));
    });
  const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));
  return { begun, call, settle, end: (name: string) => ends.get(name)?.() };
}

test("a third key waits until one of two is done; more calls of those in flight go on", async () => {
  const { begun, call, settle, end } = world(2);
  const calls = [call("a"), call("b"), call("a", "a2"), call("c")];
  await settle();
  expect(begun).toEqual(["a", "b", "a2"]);
  end("a");
  await settle();
  expect(begun).toEqual(["a", "b", "a2"]);
  end("a2");
  await settle();
  expect(begun).toEqual(["a", "b", "a2", "c"]);
  end("b");
  end("c");
  await Promise.all(calls);
});

test("a key that is always in flight doesn't keep one out that waits", async () => {
  const { begun, call, settle, end } = world(1);
  void call("a", "a1");
  void call("b");
  void call("a", "a2");
  await settle();
  end("a1");
  await settle();
  expect(begun).toEqual(["a1", "b"]);
  end("b");
  await settle();
  expect(begun).toEqual(["a1", "b", "a2"]);
});

test("a call that fails makes room too", async () => {
  const gate = new DistinctLimit(1);
  await expect(gate.run("a", () => Promise.reject(new Error("broken")))).rejects.toThrow("broken");
  await expect(gate.run("b", async () => "went")).resolves.toBe("went");
});
