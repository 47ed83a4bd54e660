import { describe, expect, it } from "vitest";
import type { DemandReply, LaneDemand } from "../scaling/demand.ts";
import { createDemandTeller } from "./demand-teller.ts";

function harness(answer: (report: LaneDemand) => Promise<DemandReply>) {
  let now = 0;
  const timers: { at: number; call: () => void }[] = [];
  const told: { at: number; n: number }[] = [];
  const heard: DemandReply[] = [];
  const teller = createDemandTeller({
    now: () => now,
    after(delayMs, call) {
      const timer = { at: now + delayMs, call };
      timers.push(timer);
      return () => {
        if (timers.includes(timer)) timers.splice(timers.indexOf(timer), 1);
      };
    },
    demand: () => [],
    tell(report) {
      told.push({ at: now, n: report.n });
      return answer(report);
    },
    heard: (reply) => void heard.push(reply),
  });
  async function until(atMs: number): Promise<void> {
    for (;;) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      const next = timers.filter(({ at }) => at <= atMs).toSorted((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      timers.splice(timers.indexOf(next), 1);
      now = Math.max(now, next.at);
      next.call();
    }
    now = atMs;
  }
  return { teller, told, heard, until };
}

describe("what a lane tells the scaler", () => {
  it("is told at once, and then once a second however often it changes, the last change included", async () => {
    const { teller, told, until } = harness(async () => ({ everyMs: 1000, versions: [] }));
    teller.changed();
    await until(10);
    teller.changed();
    teller.changed();
    await until(500);
    expect(told.map(({ at }) => at)).toEqual([0]);
    await until(5000);
    expect(told).toEqual([
      { at: 0, n: 1 },
      { at: 1000, n: 2 },
    ]);
  });

  it("is told again where the scaler never answers", async () => {
    let answers = 0;
    const { teller, told, until } = harness(async () => {
      answers += 1;
      if (answers === 1) await new Promise(() => {});
      return { everyMs: 1000, versions: [] };
    });
    teller.changed();
    await until(60_000);
    expect(told.map(({ n }) => n)).toEqual([1, 2]);
  });

  it("is told rarely while nothing is rented", async () => {
    const { teller, told, until } = harness(async () => ({ everyMs: 30_000, versions: [] }));
    for (let at = 0; at < 60_000; at += 500) {
      teller.changed();
      await until(at);
    }
    expect(told.map(({ at }) => at)).toEqual([0, 30_000]);
  });

  it("is told often again once the scaler asks, whatever it said before or says at that moment", async () => {
    let [everyMs, answered] = [30_000, Promise.resolve()];
    const { teller, told, until } = harness(async () => {
      const reply = { everyMs, versions: [] };
      await answered;
      return reply;
    });
    teller.changed();
    await until(1000);
    teller.changed();
    everyMs = 1000;
    expect(teller.asked().n).toBe(2);
    await until(2000);
    teller.changed();
    await until(3500);
    expect(told.map(({ at }) => at)).toEqual([0, 1000, 2000]);
    // Its answer is under way when the scaler asks.
    everyMs = 30_000;
    let answer = (): void => {};
    answered = new Promise((resolve) => (answer = resolve));
    teller.changed();
    await until(4000);
    everyMs = 1000;
    teller.asked();
    answered = Promise.resolve();
    answer();
    await until(4500);
    teller.changed();
    await until(6000);
    expect(told.map(({ at }) => at)).toEqual([0, 1000, 2000, 3500, 4000, 5000]);
  });

  it("is told again when it could not be told, less and less often", async () => {
    let isAway = true;
    const { teller, told, heard, until } = harness(async () => {
      if (isAway) throw new Error("away");
      return { everyMs: 1000, versions: [] };
    });
    teller.changed();
    await until(8000);
    expect(told.map(({ at }) => at)).toEqual([0, 1000, 3000, 7000]);
    isAway = false;
    await until(60_000);
    expect(told.map(({ at }) => at)).toEqual([0, 1000, 3000, 7000, 15_000]);
    expect(heard).toHaveLength(1);
  });
});
