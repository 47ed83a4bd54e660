/** Processes that end on a card that takes nothing new, beside a card that is well. */
import { expect, test, vi } from "vitest";
import { createSteppedClock } from "../../../test/unit/hand-clock.ts";
import { ContendedHost } from "./contended-host.ts";

vi.mock("../model-process.ts", async () => ({ ModelProcess: (await import("./fake-process.ts")).FakeProcess }));

test("a process that dies on a card that is fenced meanwhile is not started there again", async () => {
  const { clock, pass } = createSteppedClock();
  const host = new ContendedHost(clock, 2, { one: { loadMs: 500, runMs: 2000 } });
  host.submit("first", "one");
  await pass(1000);
  const [sick = ""] = host.cardsOf("one");
  host.fence(sick);
  await pass(5000);
  // What was there goes on.
  expect([host.cardsOf("one"), host.asked[0]?.endedAtMs]).toEqual([[sick], expect.any(Number)]);
  host.kill("one");
  await pass(100);
  expect(host.cardsOf("one")).toEqual([]);
  host.submit("first", "one");
  await pass(5000);
  expect([host.cardsOf("one"), host.asked[1]?.handedBack]).toEqual([[sick === "0" ? "1" : "0"], 0]);
});

test("what waits when a process dies on a fenced card is begun on another at once", async () => {
  const { clock, pass } = createSteppedClock();
  const host = new ContendedHost(clock, 2, { one: { loadMs: 500, runMs: 2000 } });
  host.submit("first", "one");
  await pass(5000);
  const [sick = ""] = host.cardsOf("one");
  host.fence(sick);
  host.kill("one");
  host.submit("first", "one");
  await pass(1000);
  expect([host.cardsOf("one"), host.asked[1]?.handedBack]).toEqual([[sick === "0" ? "1" : "0"], 0]);
});
