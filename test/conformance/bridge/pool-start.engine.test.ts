/**
 * What an operator sees when a pool can't read its own log: one line for each thing that can be wrong, and exit code 2.
 * Real pool, real Kafka.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Bridge } from "../../../gpu-pool/bridge/server.ts";
import { SASL_PASSWORDS } from "../../../scripts/lib/kafka/properties.ts";
import { makeHome, startPool } from "../../integration/pool/pool-process.ts";
import type { PoolHome } from "../../integration/pool/pool-process.ts";
import { bridgeFor, hasJava, startKafka } from "./engines.ts";
import type { TestKafka } from "./engines.ts";

const pool = { username: "pool", password: "pool-password", produce: [], consume: ["jobs."], groups: ["lane."] };
const other = { username: "other", password: "other-password", produce: [], consume: ["results"] };
const topics = { create: false, partitions: 2, replicas: 1 };

describe.runIf(hasJava)("a pool that can't read its log", () => {
  let kafka: TestKafka;
  let bridge: Bridge;
  let home: PoolHome;

  beforeAll(async () => {
    kafka = await startKafka({ secure: true });
    bridge = await bridgeFor({ kafka: { brokers: kafka.brokers, users: [pool, other], topics } });
    home = makeHome({});
  }, 120_000);

  afterAll(async () => {
    home?.remove();
    await bridge?.close();
    await kafka?.stop();
  }, 60_000);

  /** Starts a pool with these flags and answers its one line. */
  async function said(...flags: string[]): Promise<string> {
    const started = startPool(home, "http://127.0.0.1:1", "token", ["--log-level", "silent", ...flags]);
    expect(await started.exited).toBe(2);
    const lines = started.output().trim().split("\n");
    expect(lines).toHaveLength(1);
    return lines[0] ?? "";
  }

  const through = async (url: string, { username, password }: { username: string; password: string }) =>
    said("--log-url", url, "--log-username", username, "--log-password", password);

  const natively = async (settings: object) => {
    const file = join(home.root, "kafka.json");
    writeFileSync(file, JSON.stringify({ topics, ...settings }));
    return said("--kafka-settings", file);
  };

  it("says so through the dialect", async () => {
    const url = `${bridge.url}/kafka`;
    expect(await through("http://127.0.0.1:1/kafka", pool)).toMatch(/--log-url: .* can't be reached \(.*ECONNREFUSED/);
    expect(await through(`${bridge.url}/metrics`, pool)).toMatch(
      /--log-url: .* is no Kafka over HTTP \(it answered 404\)/,
    );
    expect(await through(url, { ...pool, password: "wrong" })).toMatch(/--log-password: .* does not know this user/);
    expect(await through(url, other)).toMatch(/--log-username: this user lacks a right .*jobs\.default\./);
    expect(await through(url, pool)).toMatch(/--log-url: a topic is missing .*jobs\.default\./);
  }, 60_000);

  it("says so natively", async () => {
    const as = (username: string, password: string) => ({
      brokers: [kafka.saslBroker],
      sasl: { mechanism: "PLAIN", username, password },
    });
    expect(await natively({ brokers: ["127.0.0.1:1"] })).toMatch(/--kafka-settings .*can't be reached/);
    expect(await natively(as("admin", "wrong"))).toMatch(/--kafka-settings .*refused .*user or password/);
    expect(await natively({ brokers: kafka.brokers })).toMatch(/--kafka-settings .*has no topic "jobs\.default\./);
    expect(await natively(as("guest", SASL_PASSWORDS.guest))).toMatch(/--kafka-settings .*topic/);
    expect(await natively({ brokers: [] })).toMatch(/--kafka-settings .*brokers/);
  }, 60_000);
});
