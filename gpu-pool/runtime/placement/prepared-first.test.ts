/** A model whose environment is still to be built, as another one is on the only card. */
import { expect, test, vi } from "vitest";
import { createSteppedClock } from "../../../test/unit/hand-clock.ts";
import { ContendedHost } from "./contended-host.ts";

vi.mock("../model-process.ts", async () => ({ ModelProcess: (await import("./fake-process.ts")).FakeProcess }));

test("the other one serves until that is built, and then makes place", async () => {
  const { clock, pass } = createSteppedClock();
  const quick = { loadMs: 500, runMs: 100 };
  const host = new ContendedHost(clock, 1, { serves: quick, comes: { ...quick, preparesMs: 60_000 } });
  host.submit("first", "serves");
  await pass(2000);
  host.submit("other", "comes");
  await pass(20_000);
  host.submit("first", "serves");
  await pass(1000);
  const [, comes, again] = host.asked;
  expect([again?.endedAtMs !== null, again?.handedBack, comes?.endedAtMs]).toEqual([true, 0, null]);
  await pass(42_000);
  expect([comes?.endedAtMs !== null, comes?.handedBack]).toEqual([true, 0]);
});

test("it goes on serving where that can't be built: what waited for it goes back with the reason", async () => {
  const { clock, pass } = createSteppedClock();
  const quick = { loadMs: 500, runMs: 100 };
  const comes = { ...quick, preparesMs: 60_000, isUnpreparable: true };
  const host = new ContendedHost(clock, 1, { serves: quick, comes });
  host.submit("first", "serves");
  await pass(2000);
  host.submit("other", "comes");
  await pass(61_000);
  expect([host.placesOf("serves"), host.asked[1]?.handedBack]).toEqual([1, 1]);
  expect(host.problemOf("comes")).toBe("pip could not install it");
});
