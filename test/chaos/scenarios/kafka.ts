/** A real Kafka under the whole path, and what befalls it: the bridge, a broker, the controller and a pool that reads natively, each killed. */
import { setTimeout as sleep } from "node:timers/promises";
import type { KafkaLog, Way } from "../harness/kafka-log.ts";
import type { LoadView, Outage, Scenario } from "../harness/scenario.ts";
import type { World } from "../harness/world.ts";

const moments = [0.15, 0.4, 0.65];
/** The lane tries a log that failed again after 2 s at most. */
const PRODUCE_AGAIN_MS = 3000;
/** A pool that died holds its place in the group for a session of 10 s; its successor waits no longer than that. */
const SESSION_MS = 3000;
/** A broker is fenced 9 s after its last heartbeat; then its partitions have other leaders. */
const FAIL_OVER_MS = 12_000;
const BROKER_AWAY_MS = 10_000;

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

export const kafkaScenarios: readonly KafkaScenario[] = [
  bridgeKilled("native"),
  bridgeKilled("bridge"),
  brokerKilled("other"),
  brokerKilled("controller"),
  poolKilled,
];
