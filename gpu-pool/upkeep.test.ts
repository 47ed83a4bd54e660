import { expect, test } from "vitest";
import { createHandClock } from "../test/unit/hand-clock.ts";
import { Upkeep } from "./upkeep.ts";

test("looking often for idle processes forgets nothing sooner", () => {
  const { clock, now, pass } = createHandClock();
  const [kept, looked] = [[] as number[], [] as number[]];
  const upkeep = new Upkeep({
    clock,
    runners: (() => [{ stopIfIdle: () => looked.push(now()) }]) as unknown as ConstructorParameters<
      typeof Upkeep
    >[0]["runners"],
    idleStopMs: 300,
    held: () => 0,
    leaseMs: () => 15_000,
    onBeat() {},
    onHousekeeping: () => void kept.push(now()),
  });
  upkeep.start();
  while (now() < 40_000) pass(100);
  expect(kept).toEqual([15_000, 30_000]);
  expect(looked.slice(0, 3)).toEqual([300, 600, 900]);
});
