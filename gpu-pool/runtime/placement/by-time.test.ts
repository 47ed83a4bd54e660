/** What time alone makes possible, on a host where nothing else happens: its devices are looked at by nobody. */
import { expect, test, vi } from "vitest";
import { createSteppedClock } from "../../../test/unit/hand-clock.ts";
import { ContendedHost } from "./contended-host.ts";

vi.mock("../model-process.ts", async () => ({ ModelProcess: (await import("./fake-process.ts")).FakeProcess }));

test("what waits behind a run that turns out to be long has a second process within a second", async () => {
  const { clock, pass } = createSteppedClock();
  const host = new ContendedHost(clock, 2, { one: { loadMs: 500, runMs: 600_000 } });
  host.submit("first", "one");
  await pass(1000);
  host.submit("first", "one");
  await pass(1500);
  expect(host.placesOf("one")).toBe(2);
});

test("the pool tells room for a process that failed once it may be tried again, beside one that works", async () => {
  const { clock, pass } = createSteppedClock();
  const host = new ContendedHost(clock, 2, { one: { loadMs: 500, runMs: 600_000, failsOn: "1" } });
  host.submit("first", "one");
  await pass(1000);
  host.submit("first", "one");
  await pass(5000);
  expect(host.asked[1]?.handedBack).toBe(1);
  await pass(62_000);
  expect(host.asked[1]?.handedBack).toBe(2);
});

test("a pinned model that could not be set up is tried again though nobody asks for it", async () => {
  const { clock, pass } = createSteppedClock();
  const host = new ContendedHost(clock, 2, { one: { loadMs: 500, runMs: 100, failsOn: "0", pinned: true } });
  await pass(1000);
  expect([host.placesOf("one"), host.problemOf("one")]).toEqual([0, expect.stringContaining("CUDA error")]);
  await pass(61_000);
  expect(host.cardsOf("one")).toEqual(["1"]);
});
