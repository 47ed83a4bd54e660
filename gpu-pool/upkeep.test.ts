import { expect, test } from "vitest";
import { Upkeep } from "./upkeep.ts";

test("looking often for idle processes forgets nothing sooner", () => {
  let now = 0;
  let timers: { at: number; run: () => void }[] = [];
  const [kept, looked] = [[] as number[], [] as number[]];
  const upkeep = new Upkeep({
    clock: {
      nowMs: () => now,
      after(delayMs, run) {
        const timer = { at: now + delayMs, run };
        timers.push(timer);
        return () => void (timers = timers.filter((one) => one !== timer));
      },
    },
    runners: [{ stopIfIdle: () => looked.push(now) }] as unknown as ConstructorParameters<typeof Upkeep>[0]["runners"],
    idleStopMs: 300,
    held: () => 0,
    leaseMs: () => 15_000,
    onBeat() {},
    onHousekeeping: () => void kept.push(now),
  });
  upkeep.start();
  while (now < 40_000) {
    now += 100;
    const due = timers.filter(({ at }) => at <= now);
    timers = timers.filter(({ at }) => at > now);
    for (const { run } of due) run();
  }
  expect(kept).toEqual([15_000, 30_000]);
  expect(looked.slice(0, 3)).toEqual([300, 600, 900]);
});
