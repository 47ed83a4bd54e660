/** A card on which a model can't be set up, for all that `nvidia-smi` says, beside cards that are well. */
import { expect, test, vi } from "vitest";
import { createSteppedClock } from "../../../test/unit/hand-clock.ts";
import { ContendedHost } from "./contended-host.ts";

vi.mock("../model-process.ts", async () => ({ ModelProcess: (await import("./fake-process.ts")).FakeProcess }));

test("a model that can't be set up on one card is tried on another", async () => {
  const { clock, pass } = createSteppedClock();
  const host = new ContendedHost(clock, 2, { one: { loadMs: 500, runMs: 100, failsOn: "0" } });
  host.submit("first", "one");
  await pass(1000);
  expect([host.asked[0]?.handedBack, host.placesOf("one")]).toEqual([1, 0]);
  await pass(62_000);
  expect([host.asked[0]?.endedAtMs !== null, host.cardsOf("one")]).toEqual([true, ["1"]]);
});

test("nor has a model that works no second process for want of a card that is well", async () => {
  const { clock, pass } = createSteppedClock();
  const host = new ContendedHost(clock, 3, { one: { loadMs: 500, runMs: 600_000, failsOn: "1" } });
  host.submit("first", "one");
  await pass(1000);
  host.submit("first", "one");
  for (let looks = 0; looks < 9; looks += 1) {
    await pass(15_000);
    host.look();
  }
  expect(host.cardsOf("one").toSorted()).toEqual(["0", "2"]);
});

test("what could not be begun on that card is begun on the next at once, as its model works here", async () => {
  const { clock, pass } = createSteppedClock();
  const host = new ContendedHost(clock, 3, { one: { loadMs: 500, runMs: 600_000, failsOn: "1" } });
  host.submit("first", "one");
  await pass(1000);
  host.submit("first", "one");
  await pass(5000);
  expect(host.cardsOf("one").toSorted()).toEqual(["0", "2"]);
});
