/**
 * The short way of a grant, broken at each of its steps: lost on the channel, on a channel that leads nowhere, or never
 * sent; and rooms that are stale.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Treat } from "../harness/channel-proxy.ts";
import { createExtraPool } from "../harness/extra-pool.ts";
import { startEventProxy } from "../harness/event-proxy.ts";
import type { EventProxy } from "../harness/event-proxy.ts";
import type { LoadView, Outage, Scenario } from "../harness/scenario.ts";
import type { World } from "../harness/world.ts";

const LOST_SHARE = 0.2;
/**
 * A grant that nothing was heard of is asked about after 500 ms; a room that is not acknowledged is not counted on
 * meanwhile.
 */
const LOST_LIMIT_MS = 3000;
/** Back on another channel, the pool is asked for what it was granted on the one before. */
const DEAF_LIMIT_MS = 3000;
const MIN_DEATHS = 3;
const DEATH_LIMIT_MS = 3000;
const moments = [0.15, 0.4, 0.65] as const;

type Broken = {
  name: string;
  pools: 1 | 2;
  treat?: Treat;
  disturb?(world: World, load: LoadView, proxy: EventProxy): Promise<Outage[]>;
};

/** The pools reach the edge through a proxy, and there is no other. */
function through({ name, pools: count, treat, disturb }: Broken): Scenario {
  let proxy: EventProxy | null = null;
  return {
    name,
    model: "echo",
    async prepare(world) {
      const started = await startEventProxy(world.stack.port, treat === undefined ? {} : { treat });
      proxy = started;
      const names = ["first", "second"].slice(0, count);
      const pools = await Promise.all(names.map((pool) => createExtraPool(world, pool, started.url)));
      await world.stack.stopPool();
      const since = Date.now();
      for (const pool of pools) pool.start();
      await world.said(/connected to the edge/, since);
      return async () => {
        await Promise.all(pools.map((pool) => pool.stop()));
        await started.stop();
        if (treat !== undefined && started.mistreated === 0) throw new Error("the proxy mistreated nothing");
      };
    },
    disturb: async (world, load) => (proxy === null ? [] : ((await disturb?.(world, load, proxy)) ?? [])),
  };
}

const loseGrants: Treat = (type) => (type === "grants" && Math.random() < LOST_SHARE ? "lose" : "pass");

/** Statements of room are lost, late (behind their successors), or repeated after them. */
const staleRoom: Treat = (type) => {
  if (type !== "room") return "pass";
  const draw = Math.random();
  if (draw < 0.2) return "lose";
  if (draw < 0.5) return "late";
  return draw < 0.7 ? "twice" : "pass";
};

async function goDeaf(world: World, load: LoadView, proxy: EventProxy): Promise<Outage[]> {
  const outages: Outage[] = [];
  const over = load.reached(1).then(() => true);
  for (const moment of moments) {
    await load.reached(moment);
    if ((await Promise.race([proxy.goDeafWithGrants(), over])) === true) break;
    const beganAt = Date.now();
    const endedAt = await world.said(/connected to the edge/, beganAt);
    const what = "a channel that leads nowhere";
    outages.push({ what, beganAt, endedAt, limitMs: DEAF_LIMIT_MS, concerns: "accepted" });
    await sleep(DEAF_LIMIT_MS);
  }
  if (proxy.swallowedGrants === 0) throw new Error("no grant was on a channel that leads nowhere");
  return outages;
}

/**
 * The edge is killed at the moment at which a grant leaves, which doesn't arrive; as often as the load lasts, three
 * times at least.
 */
function killedWithGrants(): Scenario {
  let onGrants: (() => void) | null = null;
  const treat: Treat = (type) => {
    if (type !== "grants" || onGrants === null) return "pass";
    onGrants();
    return "lose";
  };
  const scenario = through({
    name: "the shard is killed while grants leave",
    pools: 1,
    treat,
    async disturb(world, load) {
      const outages: Outage[] = [];
      const over = load.reached(1).then(() => null);
      for (;;) {
        const killed = new Promise<number>((resolve) => {
          onGrants = () => {
            onGrants = null;
            world.stack.killWorkerd();
            resolve(Date.now());
          };
        });
        const beganAt = await Promise.race([killed, over]);
        if (beganAt === null) break;
        const endedAt = await world.said(/edge │ back/, beganAt);
        outages.push({ what: "kill -9 of workerd as grants leave", beganAt, endedAt, limitMs: DEATH_LIMIT_MS });
        await sleep(DEATH_LIMIT_MS);
      }
      onGrants = null;
      if (outages.length < MIN_DEATHS) throw new Error(`workerd was killed only ${outages.length} times`);
      return outages;
    },
  });
  return { ...scenario, loadSeconds: 40 };
}

export const channel: readonly Scenario[] = [
  through({
    name: "grants are lost on the channel",
    pools: 1,
    treat: loseGrants,
    async disturb(_world, load) {
      const beganAt = Date.now();
      await load.reached(1);
      return [{ what: "grants lost", beganAt, endedAt: Date.now(), limitMs: LOST_LIMIT_MS, concerns: "accepted" }];
    },
  }),
  through({ name: "the channel is half open with grants on it", pools: 1, disturb: goDeaf }),
  killedWithGrants(),
  through({ name: "two pools state rooms that are stale", pools: 2, treat: staleRoom }),
];
