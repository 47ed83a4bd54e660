/** A process that has to leave, and runs what it began, while more of its model waits. */
import { expect, test, vi } from "vitest";
import { createSteppedClock } from "../../../test/unit/hand-clock.ts";
import { ContendedHost } from "./contended-host.ts";

vi.mock("../model-process.ts", async () => ({ ModelProcess: (await import("./fake-process.ts")).FakeProcess }));

test("what runs in a process that leaves is not handed back with what waits for a place", async () => {
  const { clock, pass } = createSteppedClock();
  const busy = { loadMs: 500, runMs: 600_000 };
  const host = new ContendedHost(clock, 2, { busy, long: { loadMs: 500, runMs: 60_000 } });
  host.submit("first", "busy");
  host.submit("first", "long");
  await pass(1000);
  host.submit("first", "long");
  host.end("long");
  await pass(14_000);
  expect([host.placesOf("long"), host.heldOf("long")]).toEqual([0, 2]);
  await pass(50_000);
  const [, runs, waits] = host.asked;
  expect([runs?.endedAtMs, runs?.handedBack, waits?.handedBack]).toEqual([expect.any(Number), 0, 1]);
});

test("nor is it handed back when its model can't be set up any more", async () => {
  const { clock, pass } = createSteppedClock();
  const host = new ContendedHost(clock, 2, { long: { loadMs: 500, runMs: 60_000, failsOn: "1" } });
  host.submit("first", "long");
  await pass(1000);
  expect(host.cardsOf("long")).toEqual(["0"]);
  host.end("long");
  host.submit("first", "long");
  await pass(80_000);
  const [runs] = host.asked;
  expect([runs?.endedAtMs, runs?.handedBack]).toEqual([expect.any(Number), 0]);
});
