/**
 * A lane that refuses, hangs, loses, repeats and dies. What waits is the shard's: whatever becomes of its lane, it is
 * handed on again.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { LoadView, Scenario } from "../harness/scenario.ts";
import type { World } from "../harness/world.ts";

const AWAY_MS = 30_000;
/** A shard tries its lane again after 2 s at most. */
const AWAY_LIMIT_MS = 3000;
const LOSES_MS = 5000;
const LOST_SHARE = 0.05;
/** What was given to a pool and not claimed waits again after 1.5 s. */
const LOST_LIMIT_MS = 4000;
const RESERVATIONS = 2;
const DEATH_EVERY_MS = 300;
/** Slower than the other loads: room is reserved only while nobody waits, also on a slow machine. */
const DYING_LOAD_SECONDS = 20;
const MIN_DEATHS = 3;
const DEATH_LIMIT_MS = 2000;
/**
 * Acceptance may take so much longer while the lane is away, at the 95th percentile; four times the aim is a failure.
 */
const ACCEPT_AIM_FACTOR = 1.5;
const BUSY_FACTOR = 4;
/** Below this the machine's own noise is larger than what is compared. */
const ACCEPT_NOISE_MS = 20;

type Away = { refuse_produce_ms: number } | { hang_ms: number };

function away(name: string, faults: Away): Scenario {
  return {
    name,
    model: "echo",
    async disturb(world, load) {
      const startedAt = Date.now();
      await load.reached(0.2);
      const beganAt = Date.now();
      await world.setLaneFaults(faults);
      await sleep(AWAY_MS - (Date.now() - beganAt));
      const endedAt = beganAt + AWAY_MS;
      compareAccepts(name, load.acceptsMs(startedAt, beganAt), load.acceptsMs(beganAt, endedAt));
      mustHaveStruck(await world.setLaneFaults({}));
      return [{ what: name, beganAt, endedAt, limitMs: AWAY_LIMIT_MS }];
    },
  };
}

/** Acceptance doesn't depend on the lane. */
function compareAccepts(name: string, before: readonly number[], during: readonly number[]): void {
  const [well, away] = [before, during].map((tookMs) => ({ p50: share(tookMs, 0.5), p95: share(tookMs, 0.95) }));
  if (well === undefined || away === undefined || during.length === 0)
    throw new Error("nothing was accepted meanwhile");
  const told = (one: typeof well) => `p50 ${one.p50} ms, p95 ${one.p95} ms`;
  console.log(`chaos │ ${name}: accepted before: ${told(well)}; meanwhile: ${told(away)} (${during.length} of them)`);
  const limitMs = ACCEPT_AIM_FACTOR * BUSY_FACTOR * Math.max(well.p95, ACCEPT_NOISE_MS);
  if (away.p95 > limitMs)
    throw new Error(`acceptance took ${away.p95} ms at p95 meanwhile, the limit is ${limitMs} ms`);
}

function share(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return Math.round(sorted[Math.floor(part * (sorted.length - 1))] ?? 0);
}

function mustHaveStruck(struck: number | null): void {
  if (struck === null || struck === 0) throw new Error(`the lane's fault struck ${String(struck)} times`);
}

async function dieAgainAndAgain(world: World, load: LoadView): Promise<number> {
  let deaths = 0;
  let isOver = false;
  const over = load.reached(0.9).then(() => {
    isOver = true;
  });
  await world.setLaneFaults({ die_after_reservations: RESERVATIONS });
  while (!isOver) {
    await Promise.race([over, sleep(DEATH_EVERY_MS)]);
    if ((await world.setLaneFaults({ die_after_reservations: RESERVATIONS })) === null) deaths += 1;
  }
  await world.setLaneFaults({});
  return deaths;
}

export const lane: readonly Scenario[] = [
  away("the lane refuses for 30 s", { refuse_produce_ms: AWAY_MS }),
  away("the lane hangs for 30 s", { hang_ms: AWAY_MS }),
  {
    name: "the lane loses what pools take and are told",
    model: "echo",
    async prepare(world) {
      await world.setLaneFaults({ reserve_nothing: true });
      return async () => {};
    },
    async disturb(world, load) {
      await load.reached(0.2);
      const beganAt = Date.now();
      await world.setLaneFaults({ reserve_nothing: true, drop_probability: LOST_SHARE });
      await sleep(LOSES_MS);
      mustHaveStruck(await world.setLaneFaults({ reserve_nothing: true }));
      const endedAt = Date.now();
      await load.reached(1);
      return [{ what: "the lane losing", beganAt, endedAt, limitMs: LOST_LIMIT_MS, concerns: "accepted" }];
    },
  },
  {
    name: "everything that pools take is given three times",
    model: "echo",
    async prepare(world) {
      await world.setLaneFaults({ reserve_nothing: true, duplicate: 3 });
      return async () => mustHaveStruck(await world.setLaneFaults({}));
    },
    disturb: async () => [],
  },
  {
    name: "the lane dies between reservation and commit, again and again",
    model: "echo",
    loadSeconds: DYING_LOAD_SECONDS,
    async disturb(world, load) {
      await load.reached(0.1);
      const beganAt = Date.now();
      const deaths = await dieAgainAndAgain(world, load);
      console.log(`chaos │ the lane died ${deaths} times`);
      if (deaths < MIN_DEATHS) throw new Error(`the lane died only ${deaths} times`);
      return [{ what: "the lane dying", beganAt, endedAt: Date.now(), limitMs: DEATH_LIMIT_MS, concerns: "accepted" }];
    },
  },
];
