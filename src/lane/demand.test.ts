/** What the lane tells the scaler, and what it does with the answer. */
import { describe, expect, it } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { coldStartOf } from "../contract/cold-start.ts";
import { LaneCore } from "./core.ts";
import { demandOf, noteComing } from "./demand.ts";
import { placeOf } from "./places.ts";
import type { LaneEntry } from "./types.ts";

const T0 = 1_000_000;
const VERSION = { model: "local/echo", version: "v" };

function entry(id: string): LaneEntry {
  const times = { createdAt: T0, startBy: T0 + 1_000_000, traceparent: null };
  return { id, account: "a", weight: 1, priority: "normal", cost: 1, ...VERSION, ...times };
}

function setUp() {
  const clock = { now: T0 };
  const lane = new LaneCore(memorySql(), { now: () => clock.now });
  let n = 0;
  const tell = (room: number, ended: { id: string; ms: number }[] = [], problem: string | null = null) => {
    n += 1;
    const models = [{ ...VERSION, room, startNow: room, readyInMs: problem === null ? 0 : null, problem }];
    lane.tell({ session: "session-a", n, full: true, models, seen: [], ended });
  };
  const place = () => placeOf(null, { account: "a", priority: "normal", ...VERSION }, lane.view([entry("x")]));
  return { clock, lane, tell, place };
}

describe("what the scaler is told", () => {
  it("counts what arrives by either way, what starts and how long it waited, and what ends and took", () => {
    const { clock, lane, tell } = setUp();
    lane.offer([entry("1"), entry("2")]);
    tell(1);
    clock.now += 4000;
    lane.granted([{ ...entry("1"), session: "session-a" }]);
    tell(1, [{ id: "1", ms: 700 }]);
    lane.withdraw([entry("2")]);
    expect(lane.reserve([entry("3")])[0]?.outcome).toBe("reserved");
    lane.granted([{ ...entry("3"), session: "session-a" }]);
    expect(demandOf(lane, clock.now)).toEqual([
      {
        ...VERSION,
        ...{ waiting: { high: 0, normal: 0, low: 0 }, waitingMs: 0, inFlight: 1 },
        ...{ arrived: 3, started: 2, waitedMs: 4000, ended: 1, endedMs: 700 },
        sessions: [{ session: "session-a", inFlight: 1, startNow: 0, readyInMs: 0, problem: null }],
      },
    ]);
  });

  it("names a version that nobody serves, and of which only what can wait has come", () => {
    const { clock, lane } = setUp();
    lane.offer([{ ...entry("1"), priority: "low" }]);
    expect(demandOf(lane, clock.now)).toMatchObject([{ ...VERSION, waiting: { low: 1 }, arrived: 0 }]);
  });

  it("says how long something has waited, and why a host can't run it", () => {
    const { clock, lane, tell } = setUp();
    lane.offer([entry("1")]);
    tell(0, [], "no torch");
    clock.now += 3000;
    const [told] = demandOf(lane, clock.now);
    expect(told).toMatchObject({ waitingMs: 3000, waiting: { normal: 1 } });
    expect(told?.sessions[0]?.problem).toBe("no torch");
  });
});

describe("what the scaler answers", () => {
  it("gives what waits a place and an ETA while no pool is there, and counts it down", () => {
    const { clock, lane, place } = setUp();
    lane.offer([entry("1")]);
    expect(place()).toEqual({ position: null, etaMs: null, ahead: null });
    noteComing(lane, [{ ...VERSION, coldStart: coldStartOf(30_000, 10_000, 0), refused: null }], clock.now);
    const parts = { machineMs: 30_000, setupMs: 10_000, turnMs: 0, leastMs: 20_000, mostMs: 85_000 };
    expect(place()).toMatchObject({ position: 0, etaMs: 40_000, estimate: parts });
    clock.now += 15_000;
    expect(place()).toMatchObject({ etaMs: 25_000, estimate: { machineMs: 15_000, leastMs: 5000, mostMs: 70_000 } });
    noteComing(lane, [{ ...VERSION, coldStart: null, refused: null }], clock.now);
    expect(place()).toMatchObject({ position: null, etaMs: null });
  });

  it("of the release before says nothing of cold starts, and stops no lane", () => {
    const { clock, lane, place } = setUp();
    lane.offer([entry("1")]);
    const before = { ...VERSION, comesInMs: 40_000, refused: null };
    noteComing(lane, [before], clock.now);
    expect(place()).toEqual({ position: null, etaMs: null, ahead: null });
  });

  it("fails what waits for a version that no machine is rented for, with the reason, unless a pool serves it", () => {
    const { clock, lane, tell } = setUp();
    lane.offer([entry("1")]);
    const refused = "its set-up failed on 2 machines that ran it";
    noteComing(lane, [{ ...VERSION, coldStart: null, refused }], clock.now);
    const error = { code: "setup_failed", message: `No machine runs this model: ${refused}` };
    expect(lane.due().fail).toMatchObject([{ entries: [{ id: "1" }], error }]);
    expect(lane.offer([entry("2")]).failed).toEqual({ "2": error });
    clock.now += 61_000;
    tell(1);
    noteComing(lane, [{ ...VERSION, coldStart: null, refused }], clock.now);
    expect(lane.offer([entry("3")]).failed).toEqual({});
  });
});
