/**
 * `delivery: kv`: the Redis that events come home through is killed, or emptied, again and again; then pool and workerd
 * at the same moment. The pool has everything until the shard says stored.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { startKv } from "../../conformance/bridge/kv.ts";
import type { Kv } from "../../conformance/bridge/kv.ts";
import type { LoadView, Outage, Scenario } from "../harness/scenario.ts";
import type { World } from "../harness/world.ts";
import { killAtMoments, pool, workerd } from "./kills.ts";

const moments = [0.1, 0.35, 0.6];
const AWAY_MS = 300;
/** The bridge finds its Redis again within a second; the pool parks again within its backoff. */
const LIMIT_MS = 3000;
/** What was running runs again, and all that is told of it goes through Redis first. */
const TOLD_THROUGH_REDIS_MS = 4000;
const EMPTY_EVERY_MS = 150;
/** Of the load. Nothing gets through where a round trip takes longer than it is until Redis is emptied again. */
const EMPTIED_FOR = 0.7;
const MOST_EMPTIED_MS = 20_000;

async function killed({ redis }: Kv, _world: World, load: LoadView): Promise<Outage[]> {
  const outages: Outage[] = [];
  for (const moment of moments) {
    await load.reached(moment);
    const beganAt = Date.now();
    redis.kill();
    await sleep(AWAY_MS);
    await redis.restart();
    outages.push({ what: "kill -9 of Redis", beganAt, endedAt: Date.now(), limitMs: LIMIT_MS });
    await sleep(LIMIT_MS);
  }
  return outages;
}

async function emptied({ redis }: Kv, _world: World, load: LoadView): Promise<Outage[]> {
  const client = new Redis(redis.url);
  let over = false;
  void Promise.race([load.reached(EMPTIED_FOR), sleep(MOST_EMPTIED_MS)]).then(() => (over = true));
  while (!over) {
    await client.flushall();
    await sleep(EMPTY_EVERY_MS);
  }
  client.disconnect();
  return [];
}

type Disturb = (kv: Kv, world: World, load: LoadView) => Promise<Outage[]>;

function scenarioOf(name: string, disturb: Disturb): Scenario {
  let kv: Kv | null = null;
  return {
    name,
    model: "echo",
    async around() {
      const started = await startKv();
      kv = started;
      return { stack: started.stack, end: () => started.stop() };
    },
    async disturb(world, load) {
      if (kv === null) throw new Error("it begins with `around`");
      return disturb(kv, world, load);
    },
  };
}

export const redis: readonly Scenario[] = [
  scenarioOf("kill -9 of the Redis that events come home through", killed),
  scenarioOf("that Redis emptied again and again", emptied),
  scenarioOf("kill -9 of pool and workerd, delivery by Redis", (_kv, world, load) =>
    killAtMoments([{ ...pool, limitMs: TOLD_THROUGH_REDIS_MS }, workerd], world, load),
  ),
];
