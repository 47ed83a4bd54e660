/** Places whose process dies again and again, or can't be started for now. */
import { expect, test, vi } from "vitest";
import { createSteppedClock } from "../../../test/unit/hand-clock.ts";
import { ContendedHost } from "./contended-host.ts";

vi.mock("../model-process.ts", async () => ({ ModelProcess: (await import("./fake-process.ts")).FakeProcess }));

test("a card is another's as soon as the process that waits to be started there has to leave it", async () => {
  const { clock, pass } = createSteppedClock();
  const host = new ContendedHost(clock, 1, { dies: { loadMs: 100, runMs: 10 }, other: { loadMs: 100, runMs: 10 } });
  host.submit("first", "dies");
  await pass(1000);
  for (let deaths = 0; deaths < 20; deaths += 1) {
    host.kill("dies");
    await pass(deaths < 19 ? 150 : 10);
  }
  host.submit("first", "other");
  await pass(1500);
  expect(host.asked[1]?.endedAtMs).not.toBeNull();
});

test("so it is as soon as a process can't be started there for now", async () => {
  const { clock, pass } = createSteppedClock();
  const away = { loadMs: 100, runMs: 10, postponedMs: 3000 };
  const host = new ContendedHost(clock, 1, { away, other: { loadMs: 100, runMs: 10 } });
  host.submit("first", "away");
  await pass(1000);
  host.submit("first", "other");
  await pass(2500);
  expect(host.asked[1]?.endedAtMs).not.toBeNull();
});

test("a model whose every run ends its process keeps its card for one turn", async () => {
  const { clock, pass } = createSteppedClock();
  const host = new ContendedHost(clock, 1, {
    dies: { loadMs: 4000, runMs: 400 },
    other: { loadMs: 1000, runMs: 100 },
  });
  host.flood("greedy", "dies", 5);
  await pass(4500);
  host.submit("small", "other");
  const waits = (): boolean => host.asked.some(({ model, endedAtMs }) => model === "other" && endedAtMs === null);
  let deaths = 0;
  for (; deaths < 12 && waits(); deaths += 1) {
    host.flood("greedy", "dies", 5);
    host.kill("dies");
    await pass(4600);
  }
  expect(waits()).toBe(false);
});
