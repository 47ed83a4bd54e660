/** Which instances leave, and when, because their owner wants them otherwise. */
import { expect, test } from "vitest";
import { isMisfit, Replacement } from "./replacement.ts";
import type { Replaceable } from "./replacement.ts";

type One = Replaceable & { placement: Replaceable["placement"]; state: string };
const one = (name: string, placement: One["placement"] = "idle", state = "ready"): One => ({
  ...{ name, placement, state, devices: ["0"], launchedWith: "old", readyAtMs: 0, lastUsedMs: 0 },
  start() {},
  retire() {},
});

/** Instances of which those marked `old` should be otherwise, and what leaves next. */
function host(...all: One[]) {
  const replacement = new Replacement();
  const placed = (): One[] => all.filter(({ placement }) => placement !== "none" && placement !== "leaving");
  return {
    replacement,
    next: (count = Infinity) =>
      replacement
        .next({ all, placed: placed() }, { count, misfits: placed().filter((it) => it.launchedWith === "old") })
        .map(({ name }) => name),
  };
}

test("what runs otherwise than its owner wants leaves one after the other, each when the one before is replaced", () => {
  const [first, second] = [one("a", "busy", "busy"), one("b")];
  const { next, replacement } = host(first, second);
  expect(next()).toEqual(["b"]);
  expect(replacement.kept).toBe(2);
  second.placement = "leaving";
  expect(next()).toEqual([]);
  second.placement = "none";
  expect(next()).toEqual([]);
  Object.assign(second, { placement: "loading", launchedWith: "new" });
  expect(next()).toEqual([]);
  second.placement = "idle";
  expect(next()).toEqual(["a"]);
  Object.assign(first, { placement: "idle", launchedWith: "new" });
  expect(next()).toEqual([]);
  expect(replacement.kept).toBe(0);
});

test("what can't be set up as its owner wants it takes no other with it", () => {
  const [first, second] = [one("a"), one("b")];
  const { next } = host(first, second);
  expect(next()).toEqual(["b"]);
  Object.assign(second, { placement: "none", state: "broken", launchedWith: "new" });
  expect(next()).toEqual([]);
  Object.assign(second, { placement: "idle", state: "looping" });
  expect(next()).toEqual([]);
});

test("without a place for what comes instead it goes on, and keeps none", () => {
  const [first, second] = [one("a"), one("b")];
  const { next, replacement } = host(first, second);
  next();
  second.placement = "none";
  expect(next()).toEqual([]);
  replacement.giveUp();
  expect(next()).toEqual(["a"]);
});

test("too many leave at once: those that are no good anyway, then those that do nothing, then the last", () => {
  const fresh = { launchedWith: "new" };
  const all = [
    one("a"),
    Object.assign(one("b"), fresh),
    Object.assign(one("c", "busy", "busy"), fresh),
    Object.assign(one("d"), fresh),
  ];
  expect(host(...all).next(3)).toEqual(["a"]);
  expect(host(...all).next(2)).toEqual(["a", "d"]);
  expect(host(...all).next(1)).toEqual(["a", "d", "b"]);
});

test("an instance fits by its devices and by what it was launched with; what fell back to the CPU stays there", () => {
  const needs = { kind: "cuda", devices: ["0", "1"], devicesPerInstance: 1 } as const;
  const on = (...devices: string[]) => ({ devices, launchedWith: "now" });
  expect(isMisfit(on("1"), needs, "now")).toBe(false);
  expect(isMisfit(on("1"), needs, "another")).toBe(true);
  expect(isMisfit({ devices: ["1"], launchedWith: null }, needs, "another")).toBe(false);
  expect(isMisfit(on("2"), needs, "now")).toBe(true);
  expect(isMisfit(on("0", "1"), needs, "now")).toBe(true);
  expect(isMisfit(on("cpu"), needs, "now")).toBe(false);
  expect(isMisfit(on("0"), { ...needs, kind: "cpu", devices: null }, "now")).toBe(false);
  expect(isMisfit(on("2"), { ...needs, devices: null }, "now")).toBe(false);
});
