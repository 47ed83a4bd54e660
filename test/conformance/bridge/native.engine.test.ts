/**
 * The pool's native source over a real Kafka: what it takes, commits and hands over, also together with pools behind
 * the bridge.
 */
import { randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import { createLaneGroup } from "../../../gpu-pool/bridge/kafka/lane-group.ts";
import { PoolClusterSchema } from "../../../gpu-pool/bridge/settings.ts";
import { createNativeSource } from "../../../gpu-pool/intake/native-kafka.ts";
import type { JobSource } from "../../../gpu-pool/intake/job-source.ts";
import type { ModelRoom } from "../../../src/contract/channel.ts";
import { ROOM_HEADER } from "../../../src/contract/claim.ts";
import { JobSchema, jobTopic } from "../../../src/contract/job.ts";
import { priorities } from "../../../src/contract/prediction.ts";
import type { Priority } from "../../../src/contract/prediction.ts";
import { SASL_PASSWORDS } from "../../../scripts/lib/kafka/properties.ts";
import { startStopwatch } from "../../stalls.ts";
import { hasJava, PROCESSES, until } from "./engines.ts";
import { RecordsSchema, useKafkaDoor } from "./fixture.ts";

const clock = {
  nowMs: () => performance.now(),
  after(delayMs: number, run: () => void) {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};

describe.runIf(hasJava)("native source", () => {
  const { client, call, engine } = useKafkaDoor();
  const topics = { create: true, partitions: 4, replicas: 1 };

  function source(lane: string, settings: object = {}, poolId: string = randomUUID()) {
    const problems: string[] = [];
    const cluster = PoolClusterSchema.parse({ brokers: engine().brokers, clientId: "pool", topics, ...settings });
    const group = createLaneGroup(cluster, lane, poolId);
    return { problems, ...createNativeSource({ group, clock, onProblem: (problem) => problems.push(problem) }) };
  }

  const laneName = () => `l${randomUUID().slice(0, 8)}`;

  function job(lane: string, priority: Priority) {
    const job = {
      v: 1,
      id: randomUUID().replaceAll("-", "").slice(0, 26),
      lane,
      priority,
      model: "me/echo",
      version: "0".repeat(64),
      cost: 1,
    };
    return JobSchema.parse({ ...job, startBy: Date.now() + 60_000, epoch: 0 });
  }

  async function produce(lane: string, count: number, priority: Priority = "normal"): Promise<string[]> {
    const jobs = Array.from({ length: count }, () => job(lane, priority));
    const topic = jobTopic(lane, priority);
    await client()
      .producer()
      .produceMany(jobs.map((value) => ({ topic, key: value.id, value })));
    return jobs.map(({ id }) => id);
  }

  async function drain(from: JobSource, count: number, room = 50): Promise<string[]> {
    const ids: string[] = [];
    const end = Date.now() + 15_000;
    while (ids.length < count && Date.now() < end) {
      const { jobs, commit } = await from.poll({ rooms: roomFor(room), waitMs: 500 });
      expect(jobs.length).toBeLessThanOrEqual(room);
      ids.push(...jobs.map((entry) => entry.job.id));
      commit();
    }
    return ids;
  }

  const protocols = ["classic", "consumer"] as const;

  it("tells its lane's lag", async () => {
    const lane = laneName();
    await produce(lane, 7);
    const own = source(lane);
    const lag = async () => (await own.lag?.())?.get(jobTopic(lane, "normal"));
    expect(await lag()).toBe(7);
    await drain(own, 7);
    await until(async () => (await lag()) === 0);
    await own.close();
  });

  it.each(protocols)(
    "takes every job once within its room, the urgent ones sooner, and skips what is none (%s)",
    async (groupProtocol) => {
      const lane = laneName();
      const low = await produce(lane, 60, "low");
      const high = await produce(lane, 60, "high");
      await client().producer().produce(jobTopic(lane, "normal"), "not a job");
      const own = source(lane, { groupProtocol });
      const ids = await drain(own, 120, 7);
      expect(ids.toSorted()).toEqual([...low, ...high].toSorted());
      const firstHalf = ids.slice(0, 60).filter((id) => high.includes(id)).length;
      expect(firstHalf).toBeGreaterThan(35);
      await until(async () => {
        await own.poll({ rooms: roomFor(7), waitMs: 100 });
        return own.problems.length > 0;
      });
      expect(own.problems).toHaveLength(1);
      expect(own.problems[0]).toMatch(/is not a job; skipped/);
      await own.close();
    },
  );

  it.each(protocols)("hands on what it did not commit, and not what it did (%s)", async (groupProtocol) => {
    const lane = laneName();
    const ids = await produce(lane, 10);
    const first = source(lane, { groupProtocol });
    expect((await drain(first, 10)).toSorted()).toEqual(ids.toSorted());
    await first.leave();
    const more = await produce(lane, 5);
    const { jobs } = await first.poll({ rooms: roomFor(50), waitMs: 5000 });
    expect(jobs.length).toBeGreaterThan(0);
    // Its claims were never answered: no commit. Then it leaves, and another pool gets the same.
    await first.close();
    const second = source(lane, { groupProtocol });
    expect((await drain(second, 5)).toSorted()).toEqual(more.toSorted());
    await second.close();
  });

  it.each(protocols)("gives a pool that was killed its place back at once (%s)", async (groupProtocol) => {
    const lane = laneName();
    const poolId = randomUUID();
    await produce(lane, 5);
    const killed = source(lane, { groupProtocol }, poolId);
    await drain(killed, 5);
    const ids = await produce(lane, 5);
    // Its life before neither left nor is read from any more, as after a SIGKILL.
    const next = source(lane, { groupProtocol }, poolId);
    using watch = startStopwatch(PROCESSES);
    expect((await drain(next, 5)).toSorted()).toEqual(expect.arrayContaining(ids));
    expect(watch.ms()).toBeLessThan(5000);
    await next.close();
    await killed.close().catch(() => {});
  });

  it.each(protocols)("shares a lane among pools that read natively (%s)", async (groupProtocol) => {
    const lane = laneName();
    await produce(lane, 1);
    const pools = [source(lane, { groupProtocol }), source(lane, { groupProtocol })];
    const taken = pools.map(() => [] as string[]);
    let stop = false;
    const loops = pools.map(async (pool, index) => {
      while (!stop) {
        const { jobs, commit } = await pool.poll({ rooms: roomFor(20), waitMs: 300 });
        taken[index]?.push(...jobs.map((entry) => entry.job.id));
        commit();
      }
    });
    const sent: string[] = [];
    await until(async () => {
      sent.push(...(await produce(lane, 20)));
      return taken.every((ids) => ids.length > 20);
    });
    await until(() => sent.every((id) => taken.some((ids) => ids.includes(id))));
    stop = true;
    await Promise.all(loops);
    await Promise.all(pools.map((pool) => pool.close()));
  });

  it("shares a lane with a pool behind the bridge, and each job goes to one of them", async () => {
    const lane = laneName();
    for (const priority of priorities) await produce(lane, 1, priority);
    const native = source(lane);
    const taken = new Map<string, number>();
    const note = (id: string) => taken.set(id, (taken.get(id) ?? 0) + 1);
    let stop = false;
    const nativeLoop = (async () => {
      while (!stop) {
        const { jobs, commit } = await native.poll({ rooms: roomFor(20), waitMs: 300 });
        for (const entry of jobs) note(entry.job.id);
        commit();
      }
    })();
    const bridgeLoop = (async () => {
      const headers = {
        [ROOM_HEADER]: "20",
        "Kafka-Auto-Offset-Reset": "earliest",
        "Kafka-Enable-Auto-Commit": "false",
      };
      const body = { topics: priorities.map((priority) => jobTopic(lane, priority)), timeout: 300 };
      while (!stop) {
        const records = RecordsSchema.parse((await call(`consume/lane.${lane}/pool`, { body, headers })).reply);
        for (const record of records) note(JobSchema.parse(JSON.parse(record.value)).id);
        await call(`commit/lane.${lane}/pool`);
      }
    })();
    await until(async () => {
      const group = (await client().admin().consumers()).find((entry) => entry.name === `lane.${lane}`);
      return group?.instances[0]?.topics.flatMap(({ partitions }) => partitions).length === 6;
    });
    const before = taken.size;
    await produce(lane, 200);
    await until(() => taken.size === before + 200);
    stop = true;
    await Promise.all([nativeLoop, bridgeLoop]);
    expect([...taken.values()].filter((count) => count > 1)).toEqual([]);
    await native.close();
  }, 60_000);

  it("says at start what is wrong: address, password, rights, topics", async () => {
    const lane = laneName();
    await produce(lane, 1);
    const none = { topics: { ...topics, create: false } };
    const told = async (settings: object, of = lane) => {
      const own = source(of, { ...none, ...settings });
      const message = await own.probe().then(
        () => "well",
        (error: unknown) => String(error),
      );
      await own.close();
      return message;
    };
    const sasl = (username: string, password: string) => ({
      ...{ brokers: [engine().saslBroker], sasl: { mechanism: "PLAIN", username, password } },
    });
    expect(await told({ brokers: ["127.0.0.1:1"] })).toMatch(/can't be reached/);
    expect(await told(sasl("admin", "wrong"))).toMatch(/refused the bridge's user or password/);
    expect(await told(sasl("guest", SASL_PASSWORDS.guest))).toMatch(/topic/);
    expect(await told({}, laneName())).toMatch(/has no topic "jobs\./);
    const own = source(lane);
    await own.probe();
    await own.close();
  });
});

function roomFor(room: number): ModelRoom[] {
  return [{ model: "local/echo", version: "v", room, startNow: 0, readyInMs: 0, problem: null }];
}
