/** What the embedded log does beyond the dialect: rights, room, faults, and what outlives a restart. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startStopwatch } from "../../stalls.ts";
import { PROCESSES } from "./context.ts";
import { startLogServer } from "./harness.ts";
import type { LogServer } from "./harness.ts";

type Record_ = {
  topic: string;
  partition: number;
  offset: number;
  key: string;
  value: string;
  headers: { key: string; value: string }[];
};

function caller(server: () => LogServer, username: string, password: string) {
  const authorization = `Basic ${btoa(`${username}:${password}`)}`;
  return async <T>(path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const init = { method: "POST", headers: { authorization, ...headers }, body: JSON.stringify(body) ?? null };
    const response = await fetch(`${server().url}${path}`, init);
    return { status: response.status, json: (await response.json()) as T };
  };
}

const lane = (name = "default") => ({
  topics: ["high", "normal", "low"].map((priority) => `jobs.${name}.${priority}`),
});
const earliest = { "Kafka-Auto-Offset-Reset": "earliest" };

describe.each([{ brokers: 1 }, { brokers: 3 }])("embedded log on $brokers brokers", ({ brokers }) => {
  let server: LogServer;
  const it_is = () => server;
  const user = caller(it_is, "test", "test-password");
  const reader = caller(it_is, "reader", "reader-password");
  const writer = caller(it_is, "writer", "writer-password");
  const pool = caller(it_is, "pool", "lanes=default,other");

  beforeAll(async () => {
    server = await startLogServer({ brokers, partitions: 3 });
  });
  afterAll(async () => {
    await server.stop();
  });

  describe("rights", () => {
    it("go by topic prefix, for producing, consuming and creating", async () => {
      expect((await user("/produce", { topic: "public.news", value: "x" })).status).toBe(200);
      expect((await user("/produce", { topic: "private", value: "x" })).status).toBe(200);
      expect((await writer("/produce", { topic: "public.news", value: "y" })).status).toBe(200);
      expect((await writer("/produce", { topic: "private", value: "y" })).json).toMatchObject({
        code: "topic_forbidden",
      });
      expect((await writer("/produce", { topic: "public.other", value: "y" })).json).toMatchObject({
        code: "topic_not_found",
      });
      expect((await reader("/produce", { topic: "public.news", value: "y" })).status).toBe(403);
      expect((await reader("/consume/r/i", { topic: "public.news", timeout: 1 }, earliest)).status).toBe(200);
      expect((await reader("/consume/r/i", { topic: "private", timeout: 1 })).status).toBe(403);
      expect((await reader("/fetch", { topic: "private", partition: 0, offset: 0 })).status).toBe(403);
      expect((await reader("/commit/r/i", { topic: "private", partition: 0, offset: 0 })).status).toBe(403);
      expect((await reader("/offsets/latest", { topic: "private", partition: 0 })).status).toBe(403);
      const seen = await fetch(`${server.url}/topics`, {
        headers: { authorization: `Basic ${btoa("reader:reader-password")}` },
      });
      expect(await seen.json()).toEqual({ "public.news": 3 });
    });

    it("let a pool do nothing here: its lanes serve it", async () => {
      expect((await pool("/consume/x/s1", { ...lane("foreign"), timeout: 1 })).status).toBe(403);
      expect((await pool("/produce", { topic: "public.news", value: "x" })).status).toBe(403);
      expect((await pool("/fetch", { topic: "jobs.default.low", partition: 0, offset: 0 })).status).toBe(403);
      expect((await pool("/committed/g/i", { topic: "jobs.default.low", partition: 0 })).status).toBe(403);
    });

    it("keep other credentials away from an instance", async () => {
      await user("/consume/public/mine", { topic: "public.news", timeout: 1 });
      expect((await reader("/consume/public/mine", { topic: "public.news", timeout: 1 })).status).toBe(403);
      expect((await reader("/delete-consumer/public/mine")).status).toBe(403);
      expect((await user("/delete-consumer/public/mine")).status).toBe(200);
    });

    it("don't let anyone in by a wrong token", async () => {
      expect((await caller(it_is, "pool", "wrong")("/consume/u/i", lane())).status).toBe(401);
      expect((await fetch(`${server.url}/topics`)).status).toBe(401);
    });
  });

  it("bounds bodies and records, and names the record that is too large", async () => {
    const large = await user<{ error: string }>("/produce", [
      { topic: "big", value: "x" },
      { topic: "big", value: "x".repeat(1_100_000) },
    ]);
    expect(large).toMatchObject({ status: 413, json: { code: "payload_too_large" } });
    expect(large.json.error).toContain("Record 1 ");
    expect((await user("/produce", { topic: "big", value: "x".repeat(9_000_000) })).status).toBe(413);
    const fits = Array.from({ length: 5 }, () => ({ topic: "big", partition: 0, value: "✓".repeat(300_000) }));
    expect((await user("/produce", fits)).status).toBe(200);
    const taken = await user<Record_[]>("/fetch", { topic: "big", partition: 0, offset: 3 });
    expect(taken.json[0]).toMatchObject({ offset: 3, value: "✓".repeat(300_000) });
  });

  it("takes webhooks, with the credentials in the query", async () => {
    const query = "topic=hooks&user=test&pass=test-password";
    const response = await fetch(`${server.url}/webhook?${query}`, {
      method: "POST",
      body: "some event",
      headers: { "event-origin": "my-app" },
    });
    const place = (await response.json()) as { partition: number; offset: number };
    const found = await user<Record_[]>("/fetch", { topic: "hooks", ...place });
    expect(found.json[0]).toMatchObject({ value: "some event", headers: [{ key: "event-origin", value: "my-app" }] });
    expect((await fetch(`${server.url}/topics?user=test&pass=test-password`)).status).toBe(401);
  });

  it("gives no more than the room, from all partitions in turn", async () => {
    for (const partition of [0, 1, 2]) {
      const records = Array.from({ length: 6 }, (_, index) => ({ topic: "turns", value: String(index), partition }));
      await user("/produce", records);
    }
    const taken: number[] = [];
    for (let turn = 0; turn < 9; turn++) {
      const body = { topic: "turns", timeout: 1000 };
      const reply = await user<Record_[]>("/consume/w/i", body, { ...earliest, "edgeplane-room": "2" });
      expect(reply.json.length).toBe(2);
      taken.push(...reply.json.map(({ partition }) => partition));
    }
    const half = taken.slice(0, 9);
    for (const partition of [0, 1, 2]) expect(half.filter((one) => one === partition).length).toBeGreaterThan(1);
  });

  it("ends an instance's first wait when it consumes again", async () => {
    await user("/consume/twice/i", { topic: "public.news", timeout: 1 });
    using watch = startStopwatch(PROCESSES);
    const first = user("/consume/twice/i", { topic: "public.news", timeout: 20_000 });
    let isOver = false;
    void first.finally(() => (isOver = true));
    // One that arrives before the first ends nothing; the next one does.
    while (!isOver) await user("/consume/twice/i", { topic: "public.news", timeout: 1 });
    expect((await first).json).toEqual([]);
    expect(watch.ms()).toBeLessThan(15_000);
  });

  it("takes an idle instance out and gives its partitions to the others", async () => {
    // One that is taken out itself meanwhile, on a slow machine, begins again with all that there is.
    const options = { "Kafka-Session-Timeout-Ms": "1000", ...earliest };
    expect((await user("/consume/idle/a", { topic: "public.news", timeout: 1 }, options)).status).toBe(200);
    const instances = async () => {
      await user("/consume/idle/b", { topic: "public.news", timeout: 100 }, options);
      const listed = await fetch(`${server.url}/consumers`, {
        headers: { authorization: `Basic ${btoa("test:test-password")}` },
      });
      const groups = (await listed.json()) as {
        name: string;
        instances: { name: string; topics: { partitions: number[] }[] }[];
      }[];
      return groups.find((group) => group.name === "idle")?.instances;
    };
    await expect.poll(instances).toEqual([{ name: "b", topics: [{ topic: "public.news", partitions: [0, 1, 2] }] }]);
    await user(
      "/produce",
      [0, 1, 2].map((partition) => ({ topic: "public.news", value: "x", partition })),
    );
    const seen = new Set<number>();
    while (seen.size < 3) {
      const { json } = await user<Record_[]>("/consume/idle/b", { topic: "public.news", timeout: 6000 }, options);
      for (const { partition } of json) seen.add(partition);
    }
  });

  it("wants a committed offset when the reset policy is none", async () => {
    const none = { "Kafka-Auto-Offset-Reset": "none", "Kafka-Enable-Auto-Commit": "false" };
    const refused = await user("/consume/none/i", { topic: "public.news", timeout: 1 }, none);
    expect(refused).toMatchObject({ status: 400, json: { code: "offset_out_of_range" } });
    await user(
      "/commit/none/i",
      [0, 1, 2].map((partition) => ({ topic: "public.news", partition, offset: 0 })),
    );
    expect(
      (await user<Record_[]>("/consume/none/i", { topic: "public.news", timeout: 1 }, none)).json.length,
    ).toBeGreaterThan(0);
  });

  describe("faults", () => {
    const setFaults = async (faults: object) =>
      fetch(`${server.origin}/faults`, { method: "POST", body: JSON.stringify(faults) });
    afterAll(async () => {
      await setFaults({});
    });

    it("refuse, lose and repeat records", async () => {
      await user("/produce", { topic: "faulty", value: "first", partition: 0 });
      await setFaults({ refuseProduceUntil: Date.now() + 60_000 });
      expect((await user("/produce", { topic: "faulty", value: "x", partition: 0 })).status).toBe(503);
      await setFaults({ dropProbability: 1 });
      expect((await user("/produce", { topic: "faulty", value: "lost", partition: 0 })).json).toMatchObject([
        { offset: 1 },
      ]);
      await setFaults({ duplicate: 3 });
      const twice = [
        { topic: "faulty", value: "a", partition: 0 },
        { topic: "faulty", value: "b", partition: 0 },
      ];
      expect((await user("/produce", twice)).json).toMatchObject([{ offset: 2 }, { offset: 5 }]);
      await setFaults({});
      const found = await user<Record_[]>("/fetch", { topic: "faulty", partition: 0, offset: 0 });
      expect(found.json.map((record) => `${record.offset}${record.value}`)).toEqual([
        "0first",
        "2a",
        "3a",
        "4a",
        "5b",
        "6b",
        "7b",
      ]);
      const read = await user<Record_[]>("/consume/faulty/i", { topic: "faulty", timeout: 500 }, earliest);
      expect(read.json).toHaveLength(7);
    });
  });

  it("keeps records, offsets, topics and commits over a restart", async () => {
    const place = { topic: "lasting", partition: 1 };
    await user(
      "/produce",
      [0, 1, 2, 3].map((value) => ({ ...place, value: String(value) })),
    );
    await user("/commit/lasting/i", { ...place, offset: 2 });
    await server.restart();
    expect((await user("/committed/lasting/i", place)).json).toEqual([{ ...place, offset: 2 }]);
    expect((await user("/produce", { ...place, value: "4" })).json).toMatchObject([{ ...place, offset: 4 }]);
    const found = await user<Record_[]>("/consume/lasting/i", { topic: "lasting", timeout: 500 }, earliest);
    expect(found.json.map((record) => record.value)).toEqual(["2", "3", "4"]);
  });
});

describe("embedded log without users", () => {
  let server: LogServer;
  beforeAll(async () => {
    server = await startLogServer({ users: false, brokers: 1 });
  });
  afterAll(async () => {
    await server.stop();
  });

  it("isn't there, but for pools", async () => {
    const body = { ...lane(), timeout: 1 };
    expect((await caller(() => server, "test", "test-password")("/consume/g/i", body)).json).toMatchObject({
      status: 404,
    });
    expect((await fetch(`${server.url}/topics`)).status).toBe(404);
    expect((await caller(() => server, "pool", "wrong")("/consume/g/i", body)).status).toBe(404);
    // It is let in, and told what a poll has to say.
    expect((await caller(() => server, "pool", "lanes=default")("/consume/g/i", body)).status).toBe(400);
  });
});
