/**
 * A log of its own under a stack: a real Apache Kafka, a bridge in front of it as a process, and the levers that break
 * both.
 */
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod";
import { clusterStatus } from "../../../scripts/lib/kafka/cluster.ts";
import type { StackOptions } from "../../../scripts/lib/stack.ts";
import { createSupervised } from "../../../scripts/lib/supervised.ts";
import { startKafka, until } from "../../conformance/bridge/engines.ts";
import { freePort } from "../../conformance/bridge/ports.ts";

const QuorumStateSchema = z.object({ leaderId: z.number(), leaderEpoch: z.number() });
/** More than there are pools, so that every pool has some. */
const PARTITIONS = 8;

const all = { username: "edgeplane", password: "edgeplane-password", produce: [""], consume: [""] };

/** How the pools read: straight from the cluster, or through the bridge. */
export type Way = "native" | "bridge";

export type KafkaLog = {
  /** What makes a stack's lanes produce to the bridge, and its pool read in that way. */
  stackOptions(way: Way): Partial<StackOptions>;
  /** SIGKILL; resolves with the time (ms since the epoch) at which the bridge that follows answers. */
  killBridge(): Promise<number>;
  /** SIGKILL to the broker that leads the cluster's controllers, or to one that doesn't; answers its number. */
  killBroker(which: "controller" | "other"): Promise<number>;
  /** Starts what doesn't run; resolves when all of it does. */
  restart(): Promise<void>;
  stop(): Promise<void>;
};

export async function startKafkaLog(brokers: 1 | 3): Promise<KafkaLog> {
  const kafka = await startKafka({ brokers });
  const { dir } = kafka.options;
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const topics = { create: true, partitions: PARTITIONS, replicas: brokers };
  const bridge = createSupervised({
    name: "bridge",
    stopMs: 10_000,
    askToStop: (child) => child.kill("SIGTERM"),
    spawn: () =>
      spawn(process.execPath, ["--disable-warning=ExperimentalWarning", "gpu-pool/bridge/main.ts"], {
        stdio: "ignore",
        env: {
          PATH: process.env["PATH"],
          BRIDGE_PORT: String(port),
          BRIDGE_KAFKA_BROKERS: kafka.brokers.join(","),
          BRIDGE_KAFKA_USERS: JSON.stringify([all]),
          BRIDGE_KAFKA_TOPICS_CREATE: String(topics.create),
          BRIDGE_KAFKA_TOPICS_PARTITIONS: String(topics.partitions),
          BRIDGE_KAFKA_TOPICS_REPLICAS: String(topics.replicas),
          BRIDGE_LOG_LEVEL: "silent",
        },
      }),
    onExit: () => {},
  });
  const answers = async () => (await fetch(`${url}/healthz`).catch(() => null))?.status === 200;
  const clusterFile = join(dir, "pool.json");
  writeFileSync(clusterFile, JSON.stringify({ brokers: kafka.brokers, topics }));
  bridge.start();
  await until(answers);

  /**
   * The number of the broker that leads the controllers: the leader of the latest epoch that any of them wrote down.
   */
  function controller(): number | undefined {
    const states = kafka.brokers.map((_, index) => {
      const file = join(dir, `broker-${index + 1}/data/__cluster_metadata-0/quorum-state`);
      return QuorumStateSchema.parse(JSON.parse(readFileSync(file, "utf8")));
    });
    return states.toSorted((a, b) => b.leaderEpoch - a.leaderEpoch).find(({ leaderId }) => leaderId > 0)?.leaderId;
  }

  return {
    stackOptions: (way) => ({
      vars: { LOG_URL: `${url}/kafka`, LOG_USERNAME: all.username, LOG_PASSWORD: all.password },
      poolEnv:
        way === "native"
          ? { EDGEPLANE_KAFKA_SETTINGS: clusterFile }
          : {
              EDGEPLANE_LOG_URL: `${url}/kafka`,
              EDGEPLANE_LOG_USERNAME: all.username,
              EDGEPLANE_LOG_PASSWORD: all.password,
            },
    }),
    async killBridge() {
      const { pid } = bridge;
      bridge.kill();
      await until(async () => bridge.pid !== null && bridge.pid !== pid && (await answers()));
      return Date.now();
    },
    async killBroker(which) {
      const leader = controller();
      const brokers = await clusterStatus(dir);
      const victim = brokers.find(({ id }) => (id === leader) === (which === "controller"));
      if (victim?.pid === undefined || victim.pid === null)
        throw new Error(`there is no such broker to kill: ${which}`);
      process.kill(victim.pid, "SIGKILL");
      await sleep(500);
      return victim.id;
    },
    restart: kafka.restart,
    async stop() {
      await bridge.stop();
      await kafka.stop();
    },
  };
}
