import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { aCall } from "../../plugins/kernel/conformance.ts";
import type { LaneOutlook } from "../../plugins/kernel/services.ts";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { LaneCore } from "./core.ts";
import { outlookIn } from "./outlook.ts";
import { createOutlooks } from "./outlooks.ts";
import type { LaneEntry } from "./types.ts";

const T0 = 1_000_000;
const version = { model: "local/echo", version: "v" };

function setUp() {
  const lane = new LaneCore(memorySql(), { now: () => T0 });
  const models = [{ ...version, room: 0, startNow: 0, readyInMs: 0, problem: null }];
  lane.tell({ session: "s", n: 1, full: true, seen: [], ended: [], models });
  let count = 0;
  const offer = (account: string, entries: number, priority: LaneEntry["priority"] = "normal") =>
    lane.offer(
      Array.from({ length: entries }, () => {
        const id = `id${(count += 1)}`;
        const known = { id, account, priority, weight: 1, cost: 1, createdAt: T0 + count, traceparent: null };
        return { ...known, ...version, startBy: T0 + 1e6 };
      }),
    );
  return { offer, outlook: (account: string) => outlookIn(lane, { account, priority: "normal", ...version }) };
}

describe("the outlook of a lane", () => {
  it("of an account that has nothing waiting is near the front, whatever others have", () => {
    const { offer, outlook } = setUp();
    expect(outlook("new")).toMatchObject({ waiting: 0, ownWaiting: 0, position: 0 });
    offer("busy", 1000);
    expect(outlook("new")).toMatchObject({ waiting: 1000, ownWaiting: 0 });
    expect(outlook("new").position).toBeLessThanOrEqual(2);
    expect(outlook("busy")).toMatchObject({ waiting: 1000, ownWaiting: 1000, position: 1000 });
  });

  it("counts what the account has of other priorities in the lane", () => {
    const { offer, outlook } = setUp();
    offer("a", 3, "low");
    offer("a", 2);
    expect(outlook("a")).toMatchObject({ waiting: 5, ownWaiting: 5 });
  });
});

describe("asking for outlooks", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());
  const told: LaneOutlook = { waiting: 0, ownWaiting: 0, position: 0, etaMs: 0, startsPerSecond: 1, runMs: null };

  it("remembers one for half a second, and lets a quarter of its room in by it", async () => {
    const ask = vi.fn<() => Promise<LaneOutlook>>(async () => told);
    const { outlook } = createOutlooks(ask);
    for (let call = 0; call < 25; call += 1) await outlook(aCall(), () => 100);
    expect(ask).toHaveBeenCalledTimes(1);
    await outlook(aCall(), () => 100);
    expect(ask).toHaveBeenCalledTimes(2);
    vi.advanceTimersByTime(501);
    await outlook(aCall(), () => 100);
    expect(ask).toHaveBeenCalledTimes(3);
  });

  it("asks each time where there is room for one", async () => {
    const ask = vi.fn<() => Promise<LaneOutlook>>(async () => told);
    const { outlook } = createOutlooks(ask);
    for (let call = 0; call < 5; call += 1) await outlook(aCall(), () => 1);
    expect(ask).toHaveBeenCalledTimes(5);
  });

  it("asks no full lane again for half a second", async () => {
    const ask = vi.fn<() => Promise<LaneOutlook>>(async () => told);
    const { outlook } = createOutlooks(ask);
    for (let call = 0; call < 50; call += 1) await outlook(aCall(), () => 0);
    expect(ask).toHaveBeenCalledTimes(1);
  });
});
