/** A model that handed back what it held for want of a place wants that place, and once it had it, no other. */
import { expect, test, vi } from "vitest";
import { createSteppedClock } from "../../../test/unit/hand-clock.ts";
import { ContendedHost } from "./contended-host.ts";

vi.mock("../model-process.ts", async () => ({ ModelProcess: (await import("./fake-process.ts")).FakeProcess }));

test("a model that has had the place that it insisted on takes none from another once nobody asks for it", async () => {
  const { clock, pass } = createSteppedClock();
  const host = new ContendedHost(clock, 1, { long: { loadMs: 500, runMs: 40_000 }, late: { loadMs: 500, runMs: 300 } });
  host.submit("first", "long");
  await pass(1000);
  host.submit("other", "late");
  await pass(20_000);
  const [, late] = host.asked;
  expect(late?.handedBack).toBe(1);
  await pass(25_000);
  expect(late?.endedAtMs).not.toBeNull();
  // Nobody asks for it any more: the card is the other's.
  host.submit("first", "long");
  host.submit("first", "long");
  await pass(20_000);
  const served = host.placesOf("long");
  await pass(40_000);
  expect([served, host.placesOf("long"), host.placesOf("late")]).toEqual([1, 1, 0]);
});
