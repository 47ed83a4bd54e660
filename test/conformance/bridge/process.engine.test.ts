/** The bridge as a process: its checks, its life while the cluster is away, and its shutdown. */
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Admin } from "@platformatic/kafka";
import { startStopwatch } from "../../stalls.ts";
import { basic, hasJava, PROCESSES, startKafka, until } from "./engines.ts";
import type { TestKafka } from "./engines.ts";
import { all } from "./fixture.ts";
import { freePort } from "./ports.ts";

describe.runIf(hasJava)("bridge process", () => {
  let kafka: TestKafka;
  const children: { kill: (signal: NodeJS.Signals) => boolean }[] = [];

  beforeAll(async () => {
    kafka = await startKafka();
  }, 120_000);

  afterAll(async () => {
    for (const child of children) child.kill("SIGKILL");
    await kafka?.stop();
  }, 60_000);

  function launch(env: Record<string, string>, ...flags: string[]) {
    const child = spawn(process.execPath, ["gpu-pool/bridge/main.ts", ...flags], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { PATH: process.env["PATH"] ?? "", ...env },
    });
    children.push(child);
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
    const exited = new Promise<number | null>((resolve) => child.on("exit", resolve));
    return { child, exited, output: () => output };
  }

  const settings = (brokers: string[], port: number) => ({
    ...{ BRIDGE_PORT: String(port), BRIDGE_KAFKA_BROKERS: brokers.join(), BRIDGE_KAFKA_USERS: JSON.stringify([all]) },
    BRIDGE_KAFKA_TOPICS_CREATE: "true",
  });

  async function call(port: number, path: string, body?: object, headers: Record<string, string> = {}) {
    const response = await fetch(`http://127.0.0.1:${port}/${path}`, {
      headers: { authorization: basic(all.username, all.password), ...headers },
      ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
    }).catch(() => null);
    const reply: unknown = await response?.json().catch(() => null);
    return { status: response?.status ?? 0, reply };
  }

  it("says what is wrong with --check, by exit code and in words", async () => {
    const good = launch(settings(kafka.brokers, 0), "--check");
    expect(await good.exited).toBe(0);
    const unreachable = launch(settings(["127.0.0.1:1"], 0), "--check");
    expect(await unreachable.exited).toBe(1);
    expect(unreachable.output()).toMatch(/The cluster can't be reached.*ECONNREFUSED/);
    const nothing = launch({});
    expect(await nothing.exited).toBe(2);
    expect(nothing.output()).toMatch(/neither kafka nor redis/);
    const help = launch({}, "--help");
    expect(await help.exited).toBe(0);
    expect(help.output()).toMatch(/BRIDGE_KAFKA_BROKERS/);
  }, 60_000);

  it("leaves its groups on SIGTERM, commits what is to be committed, and prints no secret and no record", async () => {
    const port = await freePort();
    const { child, exited, output } = launch({ ...settings(kafka.brokers, port), BRIDGE_LOG_LEVEL: "debug" });
    await until(async () => (await call(port, "healthz")).status === 200);
    const topic = `t.${randomUUID()}`;
    const group = `g.${randomUUID()}`;
    await call(port, "kafka/produce", { topic, value: "do-not-log-me" });
    const headers = { "Kafka-Auto-Offset-Reset": "earliest", "Kafka-Auto-Commit-Interval": "3600000" };
    const taken = await call(port, `kafka/consume/${group}/i`, { topic, timeout: 5000 }, headers);
    expect(taken.reply).toMatchObject([{ value: "do-not-log-me" }]);
    const admin = new Admin({ clientId: "test", bootstrapBrokers: kafka.brokers });
    const membersOf = async (name: string) =>
      (await admin.describeGroups({ groups: [name] })).get(name)?.members.size ?? 0;
    const held = `held.${randomUUID()}`;
    const waiting = call(port, `kafka/consume/${held}/i`, { topic, timeout: 3000 });
    await until(async () => (await membersOf(held)) === 1);
    using watch = startStopwatch(PROCESSES);
    child.kill("SIGTERM");
    expect(await waiting).toEqual({ status: 200, reply: [] });
    expect(await exited).toBe(0);
    expect(watch.ms()).toBeLessThan(8000);
    for (const name of [group, held]) expect(await membersOf(name)).toBe(0);
    const [offsets] = await admin.listConsumerGroupOffsets({ groups: [group] });
    expect(offsets?.topics[0]?.partitions.some(({ committedOffset }) => committedOffset === 1n)).toBe(true);
    await admin.close();
    expect(output()).not.toMatch(/do-not-log-me|all-password/);
  }, 60_000);

  it("serves while the cluster is away at start and later, and goes on when it is back", async () => {
    const port = await freePort();
    await kafka.stopBroker(1);
    launch(settings(kafka.brokers, port));
    await until(async () => (await call(port, "healthz")).status === 503);
    const topic = `t.${randomUUID()}`;
    expect(await call(port, "kafka/produce", { topic, value: "v" })).toMatchObject({ status: 503 });
    for (let round = 0; round < 2; round++) {
      await kafka.restart();
      await until(async () => (await call(port, "healthz")).status === 200);
      await until(async () => (await call(port, "kafka/produce", { topic, value: `v${round}` })).status === 200);
      await until(async () => {
        const headers = { "Kafka-Auto-Offset-Reset": "earliest" };
        const { reply } = await call(port, "kafka/consume/g/i", { topic, timeout: 1000 }, headers);
        return JSON.stringify(reply).includes(`v${round}`);
      }, 40_000);
      if (round === 1) break;
      await kafka.stopBroker(1);
      await until(async () => (await call(port, "healthz")).status === 503);
    }
    expect((await call(port, "healthz")).status).toBe(200);
  }, 180_000);
});
