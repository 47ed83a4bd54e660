/** A clock that is set back leaves no pool idle, and nothing in hand, for as long as it was set back. */
import { expect, it } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { LaneCore } from "./core.ts";
import { steadyClock } from "../steady-clock.ts";
import { versionKey } from "./types.ts";
import type { LaneEntry, RoomReport } from "./types.ts";

const VERSION = { model: "local/echo", version: "v" };
const KEY = versionKey(VERSION);
const BACK_MS = 600_000;

function setUp() {
  const clock = { now: 1_700_000_000_000 };
  const lane = new LaneCore(memorySql(), { now: steadyClock(() => clock.now), wall: () => clock.now });
  let n = 0;
  const tell = (more: Partial<RoomReport> = {}) => {
    n += 1;
    const models = [{ ...VERSION, room: 2, startNow: 2, readyInMs: 0, problem: null }];
    lane.tell({ session: "s", n, full: true, models, seen: [], ended: [], ...more });
  };
  const entry = (id: string): LaneEntry => ({
    ...{ id, account: "account", weight: 1, priority: "normal", cost: 1, ...VERSION },
    ...{ createdAt: clock.now, startBy: clock.now + 60_000, traceparent: null },
  });
  /** All that the lane says within `ms`. */
  const within = (ms: number) => {
    const said = new Set<string>();
    for (const until = clock.now + ms; clock.now < until; clock.now += 50) {
      const { work, pushes } = lane.due();
      for (const session of work) said.add(`work ${session}`);
      for (const [session, entries] of pushes) said.add(`push ${session} ${entries.map(({ id }) => id).join()}`);
    }
    return [...said];
  };
  const poll = () => lane.take("s", new Map([[KEY, { room: 2, startNow: 2 }]]), 10).map(({ id }) => id);
  return { clock, lane, tell, entry, within, poll };
}

it("hands out what comes after it, to a pool that had just polled in vain", () => {
  const { clock, lane, tell, entry, within, poll } = setUp();
  tell();
  clock.now += 10;
  expect(poll()).toEqual([]);
  clock.now -= BACK_MS;
  lane.offer([entry("p1")]);
  expect(within(2000)).not.toEqual([]);
});

it("hands out again what was taken before it, and never granted", () => {
  const { clock, lane, tell, entry, within, poll } = setUp();
  tell();
  lane.offer([entry("p1")]);
  expect(poll()).toEqual(["p1"]);
  clock.now -= BACK_MS;
  expect(within(5000)).not.toEqual([]);
  expect(lane.stats().waiting.normal).toBe(1);
});

it("tells no scaler that predictions waited for as long as it was set back", () => {
  const { clock, lane, tell, entry } = setUp();
  tell();
  clock.now -= BACK_MS;
  const after = entry("p1");
  lane.offer([after]);
  clock.now += 100;
  lane.granted([{ ...after, session: "s" }]);
  expect(lane.versions.get(KEY)?.totals).toMatchObject({ started: 1, waitedMs: 100 });
});
