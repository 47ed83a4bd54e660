/** A pinned model that is served no more, and runs what it began. */
import { expect, test, vi } from "vitest";
import { createSteppedClock } from "../../../test/unit/hand-clock.ts";
import { ContendedHost } from "./contended-host.ts";

vi.mock("../model-process.ts", async () => ({ ModelProcess: (await import("./fake-process.ts")).FakeProcess }));

test("its next version waits for its place: it is not refused as if that were taken for good", async () => {
  const { clock, pass } = createSteppedClock();
  const before = { loadMs: 500, runMs: 10_000, pinned: true };
  const host = new ContendedHost(clock, 1, { before, next: { loadMs: 500, runMs: 100, pinned: true } });
  host.submit("first", "before");
  await pass(1000);
  host.look();
  expect(host.problemOf("next")).toContain("beside the pinned models");
  host.leave("before");
  host.look();
  expect(host.problemOf("next")).toBeNull();
  await pass(10_000);
  host.submit("first", "next");
  await pass(1000);
  expect([host.placesOf("before"), host.asked[1]?.endedAtMs !== null]).toEqual([0, true]);
});
