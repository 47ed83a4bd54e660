/**
 * A real Kafka under the whole path, and what befalls it: the bridge, a broker, the controller and a pool that reads
 * natively, each killed.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { slowness } from "../harness/capacity.ts";
import { createClient, isFinished } from "../harness/client.ts";
import { createExtraPool } from "../harness/extra-pool.ts";
import type { KafkaLog, Way } from "../harness/kafka-log.ts";
import { pacePerSecond } from "../harness/scenario.ts";
import type { LoadView, Outage, Scenario } from "../harness/scenario.ts";
import type { World } from "../harness/world.ts";

const moments = [0.15, 0.4, 0.65];
/** The lane tries a log that failed again after 2 s at most. */
const PRODUCE_AGAIN_MS = 3000;
/** A pool's next life takes the place of the one before in the group, without waiting for the end of its session. */
const SESSION_MS = 3000;
/** A broker is fenced 9 s after its last heartbeat; then its partitions have other leaders. */
const FAIL_OVER_MS = 12_000;
const BROKER_AWAY_MS = 10_000;

const LONG_KEY = "long";
const LONG_MS = 90_000;
const REBALANCE_EVERY_MS = 5000;
const TURNS = 6;
const SPREAD_MS = 10_000;
/** The echo model's batches, by its cog.yaml. */
const BATCH = 8;
/** One pool carries so much of the load: those that are added have work, and nothing piles up. */
const SHARE_OF_ONE = 0.8;

export type KafkaScenario = { name: string; of(log: KafkaLog): Scenario };

function scenario(
  name: string,
  way: Way,
  disturb: (log: KafkaLog, world: World, load: LoadView) => Promise<Outage[]>,
): KafkaScenario {
  return {
    name,
    of: (log) => ({
      name,
      model: "echo",
      stack: log.stackOptions(way),
      settleMs: 90_000,
      disturb: (world, load) => disturb(log, world, load),
    }),
  };
}

function bridgeKilled(way: Way): KafkaScenario {
  const name = `kill -9 of the bridge, pools ${way === "native" ? "at the cluster" : "behind it"}`;
  return scenario(name, way, async (log, _world, load) => {
    const outages: Outage[] = [];
    const limitMs = way === "native" ? PRODUCE_AGAIN_MS : SESSION_MS;
    for (const moment of moments) {
      await load.reached(moment);
      const beganAt = Date.now();
      outages.push({ what: "kill -9 of the bridge", beganAt, endedAt: await log.killBridge(), limitMs });
      await sleep(PRODUCE_AGAIN_MS);
    }
    return outages;
  });
}

function brokerKilled(which: "controller" | "other"): KafkaScenario {
  const what = which === "controller" ? "the controller of three brokers" : "one broker of three";
  return scenario(`kill -9 of ${what}`, "native", async (log, _world, load) => {
    await load.reached(0.2);
    const beganAt = Date.now();
    await log.killBroker(which);
    await sleep(BROKER_AWAY_MS);
    await log.restart();
    // Two brokers of three are enough: what counts is the time from the loss on.
    return [{ what: `kill -9 of ${what}`, beganAt, endedAt: beganAt, limitMs: FAIL_OVER_MS }];
  });
}

const poolKilled = scenario("kill -9 of a pool that reads natively", "native", async (_log, world, load) => {
  const outages: Outage[] = [];
  for (const moment of moments) {
    await load.reached(moment);
    const beganAt = Date.now();
    world.stack.killPool();
    const endedAt = await world.said(/pool started/, beganAt);
    outages.push({ what: "kill -9 of the pool", beganAt, endedAt, limitMs: SESSION_MS });
    await sleep(PRODUCE_AGAIN_MS);
  }
  return outages;
});

/**
 * Pools join and leave their groups every 5 s for a minute, while one of them works on a job that takes far longer than
 * a poll interval (10 s) of Kafka's. That job is started once; a pool that stays has work within 10 s, and what one
 * leaves goes on elsewhere.
 */
const poolsComeAndGo: KafkaScenario = {
  name: "pools come and go every 5 s, a job takes 90 s",
  of: (log) => ({
    name: "pools come and go every 5 s, a job takes 90 s",
    model: "echo",
    stack: log.stackOptions("native"),
    loadSeconds: LONG_MS / 1000,
    job: (_key, _index, count) => ({
      input: { seconds: BATCH / (SHARE_OF_ONE * pacePerSecond(count, LONG_MS / 1000)) },
      fails: false,
    }),
    settleMs: 90_000,
    async disturb(world) {
      const outages: Outage[] = [];
      const client = createClient(world.stack.url, world.stack.apiKey, AbortSignal.timeout(LONG_MS + 60_000));
      const long = await client.create(LONG_KEY, {
        version: "local/long",
        input: { key: LONG_KEY, seconds: LONG_MS / 1000 },
      });
      const other = await createExtraPool(world, "other", world.stack.url);
      for (let turn = 0; turn < TURNS; turn += 1) {
        other.start();
        await sleep(REBALANCE_EVERY_MS);
        const beganAt = Date.now();
        await other.stop();
        outages.push({ what: "a pool removed", beganAt, endedAt: Date.now(), limitMs: SPREAD_MS });
        await sleep(Math.max(0, beganAt + REBALANCE_EVERY_MS - Date.now()));
      }
      const before = workersOf(world).size;
      other.start();
      const limitMs = SPREAD_MS * (await slowness());
      const giveUpAt = Date.now() + limitMs;
      while (workersOf(world).size === before) {
        if (Date.now() > giveUpAt) throw new Error(`a pool that was added had no work after ${limitMs} ms`);
        await sleep(50);
      }
      let end = await client.get(long.id);
      while (end !== null && !isFinished(end)) end = await client.get(long.id);
      await other.stop();
      const runs = world.runs().get(LONG_KEY) ?? [];
      if (end?.status !== "succeeded" || end.attempt !== 1 || runs.length !== 1)
        throw new Error(`the long job: ${JSON.stringify(end)}, ${runs.join(", ")}`);
      return outages;
    },
  }),
};

/** The model processes that have run something. */
function workersOf(world: World): Set<string> {
  return new Set([...world.runs().values()].flat().map((run) => run.replace(/ at .*/, "")));
}

export const kafkaScenarios: readonly KafkaScenario[] = [
  bridgeKilled("native"),
  bridgeKilled("bridge"),
  brokerKilled("other"),
  brokerKilled("controller"),
  poolKilled,
  poolsComeAndGo,
];
