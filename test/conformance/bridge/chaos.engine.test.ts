/**
 * The bridge under load while something is killed with SIGKILL: the bridge itself, and the broker of three that leads.
 * What a produce was answered for comes out of the group; a record may come twice. The load retries as a producer of
 * jobs does.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { clusterStatus } from "../../../scripts/lib/kafka/cluster.ts";
import { startStopwatch } from "../../stalls.ts";
import { basic, hasJava, PROCESSES, startKafka, until } from "./engines.ts";
import type { TestKafka } from "./engines.ts";
import { all, RecordsSchema } from "./fixture.ts";
import { freePort } from "./ports.ts";

/** At least so many; the load goes on for as long as something is killed. */
const RECORDS = 2000;
const BATCH = 10;
const WORKERS = 4;
/** Between two batches of a worker: the load, and no limit of anything. */
const PACE_MS = 40;

const INSTANCES = ["one", "two"] as const;

type Progress = { failed: () => number; received: () => number; answers: () => readonly number[] };

describe.runIf(hasJava)("bridge under fire", () => {
  const running: (() => Promise<void> | void)[] = [];

  afterEach(async () => {
    for (const stop of running.splice(0).toReversed()) await stop();
  }, 60_000);

  async function startProcess(kafka: TestKafka, port: number): Promise<ChildProcess> {
    const env = {
      ...{ PATH: process.env["PATH"], BRIDGE_PORT: String(port), BRIDGE_KAFKA_BROKERS: kafka.brokers.join(",") },
      ...{ BRIDGE_KAFKA_USERS: JSON.stringify([all]), BRIDGE_KAFKA_TOPICS_CREATE: "true", BRIDGE_LOG_LEVEL: "silent" },
    };
    const child = spawn(process.execPath, ["gpu-pool/bridge/main.ts"], { env, stdio: "ignore" });
    running.push(() => void child.kill("SIGKILL"));
    await until(async () => (await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => null))?.status === 200);
    return child;
  }

  async function call(
    port: number,
    path: string,
    body: object,
    headers: Record<string, string> = {},
  ): Promise<unknown> {
    const response = await fetch(`http://127.0.0.1:${port}/kafka/${path}`, {
      ...{ method: "POST", body: JSON.stringify(body), signal: AbortSignal.timeout(20_000) },
      headers: { authorization: basic(all.username, all.password), ...headers },
    });
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
    return response.json();
  }

  /**
   * Produces and consumes while `fire` runs; answers how many were produced, how often each came, and the longest pause
   * between two.
   */
  async function load(port: number, fire: (progress: Progress) => Promise<void>) {
    const topic = `chaos.${randomUUID()}`;
    const group = `g.${randomUUID()}`;
    const seen = new Map<string, number>();
    /** Answers with records, by instance. */
    const answers = INSTANCES.map(() => 0);
    let failures = 0;
    let longestPauseMs = 0;
    using watch = startStopwatch(PROCESSES);
    let lastAtMs = 0;
    const attempt = async <T>(work: () => Promise<T>): Promise<T> => {
      for (let tries = 0; ; tries++) {
        try {
          return await work();
        } catch (error) {
          failures++;
          if (tries === 200) throw error;
          await sleep(100);
        }
      }
    };
    await attempt(async () => call(port, "produce", { topic, value: "warm" }));
    let next = 0;
    let isOver = false;
    let isProduced = false;
    const produce = async () => {
      while (!isOver || next < RECORDS) {
        const first = next;
        next += BATCH;
        const records = Array.from({ length: BATCH }, (_, index) => ({
          topic,
          key: `k${first + index}`,
          value: `v${first + index}`,
        }));
        await attempt(async () => call(port, "produce", records));
        await sleep(PACE_MS);
      }
    };
    const consume = async (instance: string, index: number) => {
      const headers = { "Kafka-Enable-Auto-Commit": "false", "Kafka-Auto-Offset-Reset": "earliest" };
      while (!isProduced || seen.size < next + 1) {
        const reply = await attempt(async () =>
          call(port, `consume/${group}/${instance}`, { topic, timeout: 500 }, headers),
        );
        const records = RecordsSchema.parse(reply);
        if (records.length === 0) continue;
        const nowMs = watch.ms();
        longestPauseMs = Math.max(longestPauseMs, nowMs - lastAtMs);
        lastAtMs = nowMs;
        answers[index] = (answers[index] ?? 0) + 1;
        for (const { value } of records) seen.set(value, (seen.get(value) ?? 0) + 1);
        await call(port, `commit/${group}/${instance}`, []).catch(() => failures++);
      }
    };
    const producing = Promise.all(Array.from({ length: WORKERS }, produce)).then(() => (isProduced = true));
    const work = Promise.all([producing, ...INSTANCES.map(consume)]);
    await until(() => seen.size > RECORDS / 10, 60_000);
    await fire({ failed: () => failures, received: () => seen.size, answers: () => [...answers] });
    isOver = true;
    await work;
    return { produced: next, seen, failures, longestPauseMs };
  }

  function report(name: string, { produced, seen, failures, longestPauseMs }: Awaited<ReturnType<typeof load>>) {
    const repeated = [...seen.values()].filter((count) => count > 1).length;
    console.log(
      `${name}: ${seen.size} records, ${repeated} more than once, ${failures} failed calls, longest pause ${Math.round(longestPauseMs)} ms`,
    );
    for (let index = 0; index < produced; index++) expect(seen.has(`v${index}`)).toBe(true);
  }

  it("loses nothing when the bridge is killed twice", async () => {
    const kafka = await startKafka();
    running.push(kafka.stop);
    const port = await freePort();
    let bridge = await startProcess(kafka, port);
    const result = await load(port, async ({ failed, answers }) => {
      for (let round = 0; round < 2; round++) {
        const before = failed();
        bridge.kill("SIGKILL");
        await until(() => failed() > before);
        bridge = await startProcess(kafka, port);
        // Both are back in their group: who dies while it gathers holds it up for longer.
        const had = answers();
        await until(() => answers().every((count, index) => count > (had[index] ?? 0)));
      }
    });
    report("bridge killed", result);
    expect(result.longestPauseMs).toBeLessThan(10_000);
  }, 180_000);

  it("loses nothing when one broker of three is killed", async () => {
    const kafka = await startKafka({ brokers: 3 });
    running.push(kafka.stop);
    const port = await freePort();
    await startProcess(kafka, port);
    const result = await load(port, async ({ received }) => {
      const status = await clusterStatus(kafka.options.dir);
      for (const { pid } of status.slice(0, 1)) if (pid !== null) process.kill(pid, "SIGKILL");
      // The two others take over what it led: not only what was under way arrives.
      const had = received();
      await until(() => received() > had + RECORDS, 60_000);
      await kafka.restart();
    });
    report("broker killed", result);
    expect(result.longestPauseMs).toBeLessThan(40_000);
  }, 300_000);
});
