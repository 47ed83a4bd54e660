/** The bridge's Redis door in front of a real Redis: the dialect's forms, tokens, and faults. */
import type { Redis } from "@upstash/redis";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { bridgeFor, hasRedis, until } from "../bridge/engines.ts";
import { FULL, PREFIXED, useRedisDoor } from "./fixture.ts";

const READER = "reader-token-0123456789";

const matching = (pattern: RegExp): unknown => expect.stringMatching(pattern);

describe.runIf(hasRedis)("Redis door: borders", () => {
  const { client, engine, url } = useRedisDoor("p:", {
    tokens: [{ token: FULL }, { token: PREFIXED, keyPrefix: "p:" }, { token: READER, readOnly: true }],
    ...{ maxBodyBytes: 1_000_000, maxSubscriptions: 3, maxPipelineCommands: 50 },
  });
  let redis: Redis;

  beforeAll(() => {
    redis = client(FULL);
  });

  beforeEach(async () => {
    await redis.flushdb();
  });

  async function call(path: string, init: { body?: unknown; token?: string; base64?: boolean } = {}) {
    const { body, token = FULL, base64 = false } = init;
    const response = await fetch(`${url()}/redis${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: { authorization: `Bearer ${token}`, ...(base64 ? { "upstash-encoding": "base64" } : {}) },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const reply: unknown = await response.json();
    return { status: response.status, reply };
  }

  it("answers plain and base64, path, query and body forms", async () => {
    expect(await call("", { body: ["SET", "k", "é"] })).toEqual({ status: 200, reply: { result: "OK" } });
    expect(await call("", { body: ["GET", "k"], base64: true })).toEqual({
      status: 200,
      reply: { result: Buffer.from("é").toString("base64") },
    });
    expect(await call("/set/path/value%20x?EX=100")).toEqual({ status: 200, reply: { result: "OK" } });
    expect(await call("/get/path")).toEqual({ status: 200, reply: { result: "value x" } });
    expect((await call("/ttl/path")).reply).toEqual({ result: 100 });
    expect(await call("/set/body?EX=50", { body: "line\n2" })).toEqual({ status: 200, reply: { result: "OK" } });
    expect((await call("/get/body")).reply).toEqual({ result: "line\n2" });
    const byQuery = await fetch(`${url()}/redis/get/path?_token=${FULL}`);
    expect(await byQuery.json()).toEqual({ result: "value x" });
    expect(await call("/pipeline", { body: [["SET", "q", 1], ["NOPE"], ["GET", "q"]] })).toEqual({
      status: 200,
      reply: [{ result: "OK" }, { error: "ERR unknown command 'NOPE'" }, { result: "1" }],
    });
    expect(
      await call("/multi-exec", {
        body: [
          ["SET", "q", "x"],
          ["INCR", "q"],
        ],
      }),
    ).toEqual({
      status: 200,
      reply: [{ result: "OK" }, { error: matching(/not an integer/) }],
    });
    expect(
      await call("/multi-exec", {
        body: [
          ["SET", "q"],
          ["GET", "q"],
        ],
      }),
    ).toMatchObject({ status: 400, reply: { error: matching(/wrong number of arguments/) } });
  });

  it("carries any bytes", async () => {
    await redis.eval("redis.call('SET', KEYS[1], string.char(0, 255, 128, 10))", ["bytes"], []);
    const { reply } = await call("", { body: ["GET", "bytes"], base64: true });
    expect(reply).toEqual({ result: Buffer.from([0, 255, 128, 10]).toString("base64") });
  });

  it("refuses what would change, block or administer the shared connection", async () => {
    const commands = [
      ["CONFIG", "GET", "*"],
      ["SELECT", "1"],
      ["MULTI"],
      ["CLIENT", "KILL", "x"],
      ["SHUTDOWN"],
      ["DEBUG", "SLEEP", "1"],
      ["ACL", "LIST"],
    ];
    const blocking = [
      ["BLPOP", "l", "0"],
      ["XREAD", "BLOCK", "0", "STREAMS", "x", "$"],
      ["WAIT", "1", "0"],
      ["MONITOR"],
      ["SUBSCRIBE", "c"],
    ];
    for (const body of [
      ...commands,
      ...blocking,
      ["AUTH", "x"],
      ["REPLICAOF", "no", "one"],
      ["FUNCTION", "KILL"],
      ["SWAPDB", "0", "1"],
    ]) {
      expect({ body, ...(await call("", { body })) }).toMatchObject({
        body,
        status: 403,
        reply: { error: matching(/^NOPERM/) },
      });
    }
    expect((await call("/config/get/*")).status).toBe(403);
  });

  it("keeps a prefixed token within its prefix, wherever a command has its keys", async () => {
    await redis.mset({ secret: "x", "p:own": "y" });
    const allowed = [
      ["GET", "p:own"],
      ["MSET", "p:a", "1", "p:b", "2"],
      ["OBJECT", "ENCODING", "p:own"],
      ["SORT", "p:l"],
      ["BITOP", "NOT", "p:c", "p:a"],
      ["PUBLISH", "p:c", "m"],
    ];
    for (const body of allowed) expect([body, (await call("", { body, token: PREFIXED })).status]).toEqual([body, 200]);
    const refused = [
      ...[
        ["GET", "secret"],
        ["MGET", "p:own", "secret"],
        ["MSET", "p:a", "1", "x", "2"],
        ["RENAME", "p:own", "x"],
        ["COPY", "secret", "p:x"],
      ],
      ...[
        ["OBJECT", "ENCODING", "secret"],
        ["BITOP", "NOT", "p:c", "secret"],
        ["ZUNIONSTORE", "p:z", "2", "p:a", "secret"],
        ["SORT", "p:l", "STORE", "x"],
      ],
      ...[
        ["SORT", "p:l", "GET", "secret*"],
        ["XREAD", "STREAMS", "p:s", "x", "0", "0"],
        ["LMPOP", "2", "p:l", "x", "LEFT"],
        ["GEOSEARCHSTORE", "x", "p:g", "FROMMEMBER", "m", "BYRADIUS", "1", "m"],
      ],
      ...[
        ["KEYS", "*"],
        ["SCAN", "0", "MATCH", "*"],
        ["SCAN", "0", "MATCH", "p:*", "MATCH", "*"],
        ["RANDOMKEY"],
        ["DBSIZE"],
        ["FLUSHDB"],
        ["FLUSHALL"],
        ["SCRIPT", "FLUSH"],
        ["PUBLISH", "c", "m"],
      ],
      ...[
        ["EVAL", "return redis.call('GET','secret')", "0"],
        ["EVAL", "return redis.call('GET','secret')", "1", "p:own"],
        ["EVALSHA", "0".repeat(40), "0"],
        ["INFO"],
      ],
    ];
    for (const body of refused) {
      expect({ body, ...(await call("", { body, token: PREFIXED })) }).toMatchObject({
        body,
        status: 403,
        reply: { error: matching(/^NOPERM/) },
      });
    }
    const { reply } = await call("", { body: ["SCAN", "0", "COUNT", "100"], token: PREFIXED });
    expect(JSON.stringify(reply)).not.toContain("secret");
    expect((await call("/subscribe/other", { token: PREFIXED })).status).toBe(403);
    expect(await redis.get("secret")).toBe("x");
  });

  it("lets a read-only token read and nothing else", async () => {
    await redis.set("k", "v");
    expect(await client(READER).get("k")).toBe("v");
    expect(await client(READER).evalRo("return redis.call('GET', KEYS[1])", ["k"], [])).toBe("v");
    for (const body of [
      ["SET", "k", "w"],
      ["DEL", "k"],
      ["GETEX", "k", "EX", "1"],
      ["EVAL", "return redis.call('DEL','k')", "0"],
      ["PUBLISH", "c", "m"],
      ["FLUSHALL"],
    ]) {
      expect([body, (await call("", { body, token: READER })).status]).toEqual([body, 403]);
    }
    expect(await redis.get("k")).toBe("v");
  });

  it("says what is wrong with a request", async () => {
    expect((await call("", { body: ["PING"], token: "nobody-0123456789" })).status).toBe(401);
    expect(await call("", { body: "{" })).toMatchObject({ status: 400, reply: { code: "invalid_json" } });
    expect(await call("", { body: { GET: "x" } })).toMatchObject({ status: 400, reply: { code: "invalid_request" } });
    expect(await call("", { body: [] })).toMatchObject({ status: 400 });
    expect(await call("/pipeline", { body: Array.from({ length: 51 }, () => ["PING"]) })).toMatchObject({
      status: 413,
    });
    expect(await call("", { body: ["SET", "k", "x".repeat(1_100_000)] })).toMatchObject({ status: 413 });
    expect(await call("", { body: ["INCR"] })).toMatchObject({
      status: 400,
      reply: { error: matching(/^ERR wrong number/) },
    });
  });

  it("streams what is published, to channels and patterns", async () => {
    const seen: unknown[] = [];
    const channel = redis.subscribe<{ n: number }>("news");
    const pattern = redis.psubscribe("ne*");
    const ready = Promise.all(
      [channel, pattern].map(
        async (each, index) =>
          new Promise<void>((resolve) => each.on(index === 0 ? "subscribe" : "psubscribe", () => resolve())),
      ),
    );
    channel.on("message", (event) => seen.push(event.message));
    pattern.on("pmessage", (event) => seen.push(event.channel));
    await ready;
    await redis.publish("news", { n: 1 });
    await until(() => seen.length === 2);
    expect(seen).toEqual(expect.arrayContaining([{ n: 1 }, "news"]));
    await Promise.all([channel.unsubscribe(), pattern.unsubscribe()]);
    await until(async () => /edgeplane_bridge_subscriptions 0/.test(await (await fetch(`${url()}/metrics`)).text()));
  });

  it("answers 503 while Redis is away, and goes on when it is back", async () => {
    await redis.set("kept", "v");
    engine().kill();
    await until(async () => (await call("", { body: ["PING"] })).status === 503);
    expect(await call("", { body: ["GET", "kept"] })).toMatchObject({
      status: 503,
      reply: { error: matching(/^Redis can't be reached/) },
    });
    expect((await fetch(`${url()}/healthz`)).status).toBe(503);
    await engine().restart();
    await until(async () => (await call("", { body: ["PING"] })).status === 200);
    expect(await redis.get("kept")).toBe("v");
    expect(await redis.eval("return 1", [], [])).toBe(1);
  });

  it("says when Redis refuses the bridge's password", async () => {
    const other = await bridgeFor({
      redis: { url: engine().url.replace("redis://", "redis://user:wrong@"), tokens: [{ token: FULL }] },
    });
    const response = await fetch(`${other.url}/redis/ping`, { headers: { authorization: `Bearer ${FULL}` } });
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({
      error: matching(/^Redis refused the bridge's user or password/),
    });
    await other.close();
  });
});
