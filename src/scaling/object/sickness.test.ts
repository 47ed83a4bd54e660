import { expect, it } from "vitest";
import { Sickness } from "./sickness.ts";
import type { Sick } from "./sickness.ts";

const KEY = "local/echo v";
const MINUTE_MS = 60_000;

it("takes a version for sick after two hosts, each counted once, and for longer each time", () => {
  const sickness = new Sickness({}, () => {});
  sickness.failed(KEY, "a", "no torch", 0);
  sickness.failed(KEY, "a", "no torch", 1);
  expect(sickness.reason(KEY, 2)).toBeNull();
  sickness.failed(KEY, "b", "no torch", 2);
  expect(sickness.reason(KEY, 3)).toContain("its set-up failed on 2 machines");
  expect(sickness.reason(KEY, 31 * MINUTE_MS)).toBeNull();
  sickness.failed(KEY, "c", "no torch", 31 * MINUTE_MS);
  expect(sickness.reason(KEY, 90 * MINUTE_MS)).toContain("no torch");
});

it("forgets it where it serves, and remembers it over a restart", () => {
  let stored: Sick = {};
  const sickness = new Sickness({}, (sick) => {
    stored = sick;
  });
  sickness.failed(KEY, "a", "no torch", 0);
  sickness.well(KEY);
  sickness.failed(KEY, "b", "no torch", 1);
  expect(sickness.reason(KEY, 2)).toBeNull();
  sickness.failed(KEY, "c", "no torch", 2);
  expect(new Sickness(stored, () => {}).reason(KEY, 3)).toContain("no torch");
});
