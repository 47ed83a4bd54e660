/** Lanes that asked while nothing could be rented. */
import { expect, it } from "vitest";
import { World } from "../../../test/unit/scaling/world.ts";
import { memorySql } from "../../../test/unit/memory-sql.ts";
import type { LaneDemand } from "../demand.ts";
import { LaneNames } from "./lane-names.ts";
import { ScalerStore } from "./rows.ts";

it("are known until they tell, over restarts, a hundred at most, and are stored once each", () => {
  const sql = memorySql();
  let writes = 0;
  const open = () =>
    new LaneNames(
      new ScalerStore((text, ...values) => {
        if (text.includes("INTO kept")) writes += 1;
        return sql(text, ...values);
      }),
    );
  const names = open();
  for (let n = 0; n < 300; n += 1) names.putOff(`lane-${n % 150}`);
  expect(writes).toBe(100);
  expect(open().waiting()).toEqual(Array.from({ length: 100 }, (_, n) => `lane-${n}`));
  expect(open().silent([])).toEqual([]);
  expect([names.tells("lane-7"), names.tells("lane-7"), names.tells("lane-120")]).toEqual([true, false, false]);
  expect(open().waiting()).not.toContain("lane-7");
  expect(open().waiting()).toHaveLength(99);
  expect(open().silent(["lane-120"])).toEqual(["lane-7"]);
});

it("are stored once each while they tell, of more than a hundred the latest", () => {
  let writes = 0;
  const sql = memorySql();
  const store = new ScalerStore((text, ...values) => {
    if (text.includes("INTO kept")) writes += 1;
    return sql(text, ...values);
  });
  const names = new LaneNames(store);
  for (let n = 0; n < 450; n += 1) names.tells(`lane-${n % 150}`);
  expect(writes).toBe(150);
  expect(names.silent([])).toEqual(Array.from({ length: 100 }, (_, n) => `lane-${n + 50}`));
});

it("ask for no machines for all that they had counted before a provider came", () => {
  const world = new World();
  const running = { session: "by-hand", inFlight: 1, startNow: 0, readyInMs: 0, problem: null };
  const told = (n: number, ended: number): LaneDemand => ({
    ...{ life: "one", n },
    versions: [
      {
        ...{ model: "local/echo", version: "v", waiting: { high: 0, normal: 0, low: 0 }, waitingMs: 0, inFlight: 1 },
        ...{ arrived: ended + 1, started: ended + 1, waitedMs: 0, ended, endedMs: 1000 * ended },
        sessions: [running],
      },
    ],
  });
  expect(world.core.demand("default", told(1, 100_000)).everyMs).toBe(30_000);
  world.sync();
  expect(world.core.demand("default", told(2, 100_010)).everyMs).toBe(1000);
  world.sync();
  expect(world.core.appetites.get("local/echo v")?.reasons.load).toBeLessThan(2);
  expect(world.made).toBe(0);
});
