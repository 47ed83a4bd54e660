/**
 * Moving the log while everything runs: the whole system on one machine, from the embedded log to a bridge over a real
 * Kafka and back, with hundreds of predictions in flight. Nothing is lost, and nothing runs twice.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as z from "zod";
import type { Bridge } from "../../../gpu-pool/bridge/server.ts";
import { createClient, isFinished } from "../../chaos/harness/client.ts";
import type { Client, View } from "../../chaos/harness/client.ts";
import { outputOf } from "../../chaos/harness/scenario.ts";
import { createWorld } from "../../chaos/harness/world.ts";
import type { World } from "../../chaos/harness/world.ts";
import { bridgeFor, hasJava, startKafka, until } from "./engines.ts";
import type { TestKafka } from "./engines.ts";

const edge = { username: "edge", password: "edge-password", produce: ["jobs.", "results"], consume: [""] };
const pool = { username: "pool", password: "pool-password", produce: [], consume: ["jobs."], groups: ["lane."] };
/** Users that a pool can't read with: one right is missing in each. */
const groupless = { ...pool, username: "groupless", groups: [] };
const deaf = { ...pool, username: "deaf", consume: [] };
const reader = { username: "reader", password: "reader-password", produce: [], consume: [""] };
const topics = { create: true, partitions: 4, replicas: 1 };
const SENDERS = 32;
/** Shards hand on again after 30 s what nobody claimed: a move must not wait for that. */
const SOON_MS = 25_000;

const AnswerSchema = z.looseObject({
  epoch: z.number().optional(),
  moved: z.boolean().optional(),
  unread: z.array(z.object({ pool: z.string(), lane: z.string(), problem: z.string() })).optional(),
  lanes: z.array(z.object({ lane: z.string(), handed_on: z.number().nullable(), pools: z.number() })).optional(),
  invalid_fields: z.array(z.object({ field: z.string(), description: z.string() })).optional(),
});

describe.runIf(hasJava)("moving the log", () => {
  let kafka: TestKafka;
  let bridge: Bridge;
  let world: World;
  let client: Client;
  let sent = 0;

  beforeAll(async () => {
    kafka = await startKafka({ secure: true });
    bridge = await newBridge();
    // Its own Kafka has no topic for usage, and lets nobody produce there.
    world = await createWorld("echo", { vars: { PUBLISH_TOPICS: "" } });
    client = createClient(world.stack.url, world.stack.apiKey, AbortSignal.timeout(280_000));
  }, 180_000);

  afterAll(async () => {
    await world?.end();
    await bridge?.close();
    await kafka?.stop();
  }, 60_000);

  const newBridge = async (settings: object = {}) =>
    bridgeFor({ kafka: { brokers: kafka.brokers, users: [edge, pool, groupless, deaf, reader], topics, ...settings } });
  const toBridge = (at = bridge, access: { username: string; password: string } = edge) => ({
    ...{ driver: "upstash", url: `${at.url}/kafka`, username: access.username, password: access.password },
    pool: { username: pool.username, password: pool.password },
  });

  /** Which pools tell the edge that they can't read the log. */
  async function unread() {
    const headers = { authorization: `Bearer ${world.stack.adminKey}` };
    return AnswerSchema.parse(await (await fetch(`${world.stack.url}/admin/v1/log`, { headers })).json()).unread ?? [];
  }

  async function move(choice: object) {
    const response = await fetch(`${world.stack.url}/admin/v1/log`, {
      method: "PUT",
      headers: { authorization: `Bearer ${world.stack.adminKey}`, "content-type": "application/json" },
      body: JSON.stringify(choice),
    });
    return { status: response.status, body: AnswerSchema.parse(await response.json()) };
  }

  /** Sends `count` predictions; `accepted` tells how many are in. */
  function send(count: number) {
    const from = sent;
    sent += count;
    const ids = new Map<string, { id: string; number: number }>();
    let next = 0;
    const sender = async () => {
      while (next < count) {
        const number = from + next++;
        const key = `key-${number}`;
        const { id } = await client.create(key, { version: "local/echo", input: { key, number } });
        ids.set(key, { id, number });
      }
    };
    const done = Promise.all(Array.from({ length: SENDERS }, sender));
    return { ids, done };
  }

  /** Each ends well, after one start, and the model saw it once. */
  async function expectOnce(ids: Map<string, { id: string; number: number }>, withinMs: number): Promise<void> {
    const views = new Map<string, View | null>();
    await until(async () => {
      const open = [...ids].filter(([key]) => !isFinished(views.get(key) ?? { status: "starting" }));
      for (const [key, { id }] of open.slice(0, 50)) views.set(key, await client.get(id));
      return open.length === 0;
    }, withinMs);
    const runs = world.runs();
    const wrong = [...ids].filter(([key, { number }]) => {
      const view = views.get(key);
      return view?.output !== outputOf(key, number) || view.attempt !== 1 || runs.get(key)?.length !== 1;
    });
    expect(wrong.map(([key]) => `${key}: ${JSON.stringify(views.get(key))} ran ${runs.get(key)?.length}`)).toEqual([]);
  }

  it("says what is wrong with a log before it moves there: address, password, rights of both users, topics", async () => {
    const refused = async (choice: object) => {
      const { status, body } = await move(choice);
      const [problem] = body.invalid_fields ?? [];
      return `${status} ${problem?.field}: ${problem?.description}`;
    };
    const none = await newBridge({ topics: { ...topics, create: false } });
    const unclustered = await newBridge({ brokers: ["127.0.0.1:1"] });
    expect(await refused({ ...toBridge(), url: "http://127.0.0.1:1/kafka" })).toMatch(/^422 url: .*can't be reached/);
    expect(await refused({ ...toBridge(), url: world.stack.url })).toMatch(/^422 url: .*is no Kafka over HTTP/);
    expect(await refused({ ...toBridge(), password: "wrong" })).toMatch(
      /^422 password: .*does not know the user "edge"/,
    );
    expect(await refused(toBridge(none))).toMatch(/^422 topics: a topic is missing: .*jobs\.default\./);
    // Asking creates the topics, where the bridge may.
    expect(await refused(toBridge(bridge, reader))).toMatch(/^422 username: .*lacks a right: .*produce to/);
    const forPools = async (access: { username: string; password: string }) =>
      refused({ ...toBridge(), pool: { username: access.username, password: access.password } });
    expect(await forPools({ ...pool, password: "wrong" })).toMatch(/^422 pool\.password: .*the pools' user "pool"/);
    expect(await forPools(groupless)).toMatch(/^422 pool\.username: .*no right to the group "lane\.default"/);
    expect(await forPools(deaf)).toMatch(/^422 pool\.username: .*no right to read the commits of .*jobs\.default\./);
    expect(await refused(toBridge(unclustered))).toMatch(/^422 url: .*answered 503: .*can't be reached/);
    await none.close();
    await unclustered.close();
    const at = await fetch(`${world.stack.url}/admin/v1/log?probe=true`, {
      headers: { authorization: `Bearer ${world.stack.adminKey}` },
    });
    expect(await at.json()).toMatchObject({ epoch: 0, driver: "embedded", problems: [] });
  }, 60_000);

  it("loses nothing and runs nothing twice, there and back, under load", async () => {
    const load = send(600);
    await until(() => load.ids.size >= 150);
    const there = await move(toBridge());
    expect(there.body).toMatchObject({ moved: true, epoch: 1 });
    expect(there.body.lanes).toContainEqual(expect.objectContaining({ lane: "default", pools: 1 }));
    await until(() => load.ids.size >= 400);
    const back = await move({ driver: "embedded" });
    expect(back.body).toMatchObject({ moved: true, epoch: 2 });
    await load.done;
    await expectOnce(load.ids, SOON_MS);
  }, 120_000);

  it("hands on what waits in the log that is left, and works on when nobody reads that log any more", async () => {
    await world.stack.stopPool();
    const toRead = send(300);
    await toRead.done;
    const there = await move(toBridge());
    expect(there.body.lanes?.find(({ lane }) => lane === "default")?.handed_on).toBeGreaterThanOrEqual(64);
    world.stack.startPool();
    await expectOnce(toRead.ids, SOON_MS);
  }, 120_000);

  it("moves away from a log that is dead", async () => {
    const before = send(200);
    await until(() => before.ids.size >= 50);
    await bridge.close();
    await until(async () => (await unread()).some(({ lane }) => lane === "default"), 30_000);
    const back = await move({ driver: "embedded" });
    expect(back.body).toMatchObject({ moved: true });
    bridge = await newBridge();
    await before.done;
    await expectOnce(before.ids, SOON_MS);
    await until(async () => (await unread()).length === 0);
  }, 120_000);

  it("moves again at once, and stays where it is when it is there", async () => {
    const load = send(200);
    for (const choice of [toBridge(), { driver: "embedded" }, toBridge()]) await move(choice);
    expect((await move(toBridge())).body).toMatchObject({ moved: false });
    await load.done;
    await expectOnce(load.ids, SOON_MS);
    expect(world.lastLines(400).join("\n")).not.toContain(edge.password);
  }, 120_000);
});
