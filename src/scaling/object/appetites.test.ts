/** What policies have learned outlives the object, which sleeps, and restarts, between what comes. */
import { describe, expect, it } from "vitest";
import { World } from "../../../test/unit/scaling/world.ts";
import { memorySql } from "../../../test/unit/memory-sql.ts";
import { ScalingSettingsSchema } from "../../contract/scaling.ts";
import type { VersionDemand } from "../demand.ts";
import { Appetite } from "./appetite.ts";
import { Appetites } from "./appetites.ts";
import { OVERALL_MAX_VERSIONS } from "./limits.ts";
import { ScalerStore } from "./rows.ts";

const DAY_S = 86_400;
const HOUR_S = 3600;
const PER_DAY = 10;

/** Until that second: looks while the object may not sleep, and when it wanted to be woken. */
function sleepUntil(world: World, atS: number): void {
  while (world.nowS < atS) {
    const leftMs = (atS - world.nowS) * 1000;
    const wakesInMs = (world.core.prewarmAtMs() ?? Infinity) - world.wallMs;
    if (!world.core.isActive) world.wallMs += Math.min(leftMs, wakesInMs) - 1000;
    world.run(1);
  }
}

/** Something comes each morning; the object starts again each night. */
function mornings(world: World, days: number): void {
  for (let day = 0; day < days; day += 1) {
    for (let n = 0; n < PER_DAY; n += 1) {
      sleepUntil(world, day * DAY_S + 9 * HOUR_S + n * 120);
      world.arrive("local/echo");
      world.run(1);
    }
    sleepUntil(world, day * DAY_S + 14 * HOUR_S);
    expect(world.core.isActive).toBe(false);
    world.open();
  }
}

describe("what was learned", () => {
  it("wakes the object before the hour at which something comes each day, and has a machine there by then", () => {
    const world = new World({ classes: { cpu: { max: 2 } } });
    world.setupS = 90;
    mornings(world, 8);
    const opensS = 8 * DAY_S + 9 * HOUR_S;
    world.run(1);
    const wakesS = ((world.core.prewarmAtMs() ?? Infinity) - world.wallMs) / 1000 + world.nowS;
    // A machine boots in 20 s, and the model is set up in 90 s.
    expect(wakesS).toBeGreaterThan(opensS - 150);
    expect(wakesS).toBeLessThan(opensS - 105);
    world.core.settings = ScalingSettingsSchema.parse({ classes: { cpu: { keep_alive_s: { max: 60 } } } });
    expect(world.core.prewarmAtMs()).toBeNull();
    world.open();
    sleepUntil(world, opensS + 5);
    world.arrive("local/echo");
    world.run(5);
    expect(world.done.at(-1)?.waitS).toBeLessThan(3);
  });

  it("wakes nothing for a model of no regular hours", () => {
    const world = new World({ classes: { cpu: { max: 2 } } });
    world.arrive("local/echo");
    world.run(1);
    sleepUntil(world, HOUR_S);
    expect(world.core.isActive).toBe(false);
    expect(world.core.prewarmAtMs()).toBeNull();
  });

  it("is counted once, though the lane goes on while the scaler starts again", () => {
    const world = new World({ classes: { cpu: { max: 2 } } });
    for (let n = 0; n < 30; n += 1) {
      world.arrive("local/echo");
      world.run(10);
    }
    sleepUntil(world, HOUR_S);
    for (let n = 0; n < 5; n += 1) {
      world.open();
      world.arrive("local/echo");
      sleepUntil(world, (n + 2) * HOUR_S);
    }
    expect(world.core.appetites.get("local/echo v")?.remember().arrivals).toHaveLength(35);
  });
});

describe("Appetites", () => {
  const nothing = { high: 0, normal: 0, low: 0 };
  const demand: VersionDemand = {
    ...{ model: "local/echo", version: "v", waiting: nothing, waitingMs: 0, inFlight: 0 },
    ...{ arrived: 0, started: 0, waitedMs: 0, ended: 0, endedMs: 0, sessions: [] },
  };
  const one = { arrived: 1, started: 1, waitedMs: 0, ended: 1, endedMs: 1000 };
  const kind = { bootS: 60, billingS: 1, lossPerHour: 0 };

  function opened() {
    const sql = memorySql();
    let writes = 0;
    const store = new ScalerStore((text, ...values) => {
      if (text.includes("INTO policies")) writes += 1;
      return sql(text, ...values);
    });
    const open = (version: string): Appetite => {
      const ref = { model: "local/echo", version };
      const found = appetites.open(ref, 1e9, () => new Appetite(ref, 10, kind));
      if (found === null) throw new Error("there are too many");
      return found;
    };
    const appetites = new Appetites(store, 1e9);
    return { sql, store, appetites, open, writes: () => writes };
  }

  it("writes one row in ten minutes while the object is awake, one before it sleeps, and none for nothing new", () => {
    const { appetites, open, writes } = opened();
    const appetite = open("v");
    for (let second = 0; second < 1800; second += 1) {
      appetite.hear(1e9 + second, demand, one, 1);
      appetites.save((1e9 + second) * 1000, () => false);
    }
    expect(writes()).toBe(2);
    appetites.save((1e9 + 1800) * 1000, () => true);
    expect(writes()).toBe(3);
    for (let second = 1801; second < 5000; second += 1) appetites.save((1e9 + second) * 1000, () => true);
    expect(writes()).toBe(3);
  });

  it("stores so much of a version, and so many versions, at most", () => {
    const { sql, appetites, open } = opened();
    const busy = open("busy");
    for (let n = 0; n < 5000; n += 1) busy.hear(1e9 + n * 100, demand, { ...one, endedMs: 1234.567 }, 1);
    appetites.save(1e12, () => true);
    expect(String(sql("SELECT value FROM policies")[0]?.["value"]).length).toBeLessThan(16_000);
    for (let n = 0; n < OVERALL_MAX_VERSIONS + 20; n += 1) {
      open(`v${n}`).hear(1e9 + n, demand, one, 1);
      appetites.save(1e12 + n, () => true);
    }
    const [row] = sql("SELECT count(*) AS rows, min(saved_at) AS oldest FROM policies");
    expect(row).toEqual({ rows: OVERALL_MAX_VERSIONS, oldest: 1e12 + 20 });
  });

  it("lets a new version begin with what the one before it has learned, as it is now or was stored last", () => {
    const { store, appetites, open } = opened();
    for (let n = 0; n < 30; n += 1) open("v").hear(1e9 + n, demand, { ...one, endedMs: 7000 }, 1);
    expect(open("new").workS).toBe(7);
    expect(open("new").memory().arrivals).toHaveLength(30);
    appetites.save(1e12, () => true);
    const fresh = () => new Appetite({ model: "local/other", version: "v" }, 10, kind);
    const later = new Appetites(store, 1e9 + 60);
    expect(later.open({ model: "local/echo", version: "newer" }, 1e9 + 60, fresh)?.workS).toBe(7);
    expect(later.open({ model: "local/ech", version: "v" }, 1e9 + 60, fresh)?.workS).toBeNull();
  });

  it("is as if nothing had been learned where another release stored it", () => {
    const { sql, store, appetites, open } = opened();
    open("v").hear(1e9, demand, one, 1);
    appetites.save(1e12, () => true);
    expect(store.memory("local/echo v")?.arrivals).toHaveLength(1);
    sql("UPDATE policies SET value = json_set(value, '$.v', 2)");
    expect(store.memory("local/echo v")).toBeNull();
  });
});
