/** The bridge's Redis door in front of a real Redis: the commands of `@upstash/redis`. */
import type { Redis } from "@upstash/redis";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { hasRedis } from "../bridge/engines.ts";
import { FULL, useRedisDoor } from "./fixture.ts";

const anyArray: unknown = expect.any(Array);

describe.runIf(hasRedis)("Redis door: commands", () => {
  const { client } = useRedisDoor("p:", { maxBodyBytes: 1_000_000, maxSubscriptions: 3, maxPipelineCommands: 50 });
  let redis: Redis;

  beforeAll(() => {
    redis = client(FULL);
  });

  beforeEach(async () => {
    await redis.flushdb();
  });

  it("runs strings, numbers, bits and expiry", async () => {
    expect(await redis.set("s", "v")).toBe("OK");
    expect(await redis.set("ok", "OK")).toBe("OK");
    expect(await redis.get("ok")).toBe("OK");
    expect(await redis.set("s", "w", { nx: true })).toBeNull();
    expect(await redis.getset("s", "é✓")).toBe("v");
    expect(await redis.get("s")).toBe("é✓");
    expect(await redis.append("s", "x")).toBe(6);
    expect(await redis.strlen("s")).toBe(6);
    expect(await redis.getrange("s", 0, 1)).toBe("é");
    expect(await redis.setrange("r", 2, "z")).toBe(3);
    expect(await redis.mset({ a: 1, b: { deep: [1, null] } })).toBe("OK");
    expect(await redis.mget("a", "b", "none")).toEqual([1, { deep: [1, null] }, null]);
    expect(await redis.msetnx({ a: 1, c: 1 })).toBe(0);
    expect([
      await redis.incr("n"),
      await redis.incrby("n", 5),
      await redis.decr("n"),
      await redis.decrby("n", 2),
    ]).toEqual([1, 6, 5, 3]);
    expect(await redis.incrbyfloat("n", 0.5)).toBe(3.5);
    expect([
      await redis.setbit("bits", 7, 1),
      await redis.getbit("bits", 7),
      await redis.bitcount("bits", 0, -1),
      await redis.bitpos("bits", 1),
    ]).toEqual([0, 1, 1, 7]);
    expect(await redis.bitop("or", "bits2", "bits")).toBe(1);
    expect(await redis.setex("e", 100, "v")).toBe("OK");
    expect(await redis.ttl("e")).toBe(100);
    expect(await redis.persist("e")).toBe(1);
    expect(await redis.pexpire("e", 50_000)).toBe(1);
    expect(await redis.pttl("e")).toBeGreaterThan(1000);
    expect(await redis.getex("e", { ex: 10 })).toBe("v");
    expect(await redis.getdel("e")).toBe("v");
    expect(await redis.exists("e", "s")).toBe(1);
    expect([
      await redis.type("s"),
      await redis.rename("s", "t"),
      await redis.renamenx("t", "a"),
      await redis.copy("t", "u"),
    ]).toEqual(["string", "OK", 0, "COPIED"]);
    expect([await redis.touch("t", "u"), await redis.unlink("u"), await redis.del("t")]).toEqual([2, 1, 1]);
  });

  it("runs lists, sets and hashes", async () => {
    expect(await redis.rpush("l", "a", "b", "c")).toBe(3);
    expect(await redis.lpush("l", "0")).toBe(4);
    expect(await redis.lrange("l", 0, -1)).toEqual([0, "a", "b", "c"]);
    expect([await redis.lindex("l", 1), await redis.llen("l"), await redis.lpos("l", "b")]).toEqual(["a", 4, 2]);
    expect([
      await redis.linsert("l", "before", "b", "x"),
      await redis.lset("l", 0, "z"),
      await redis.lrem("l", 1, "x"),
    ]).toEqual([5, "OK", 1]);
    expect([await redis.lpop("l"), await redis.rpop("l"), await redis.ltrim("l", 0, 0)]).toEqual(["z", "c", "OK"]);
    expect(await redis.lmove("l", "l2", "left", "right")).toBe("a");
    expect(await redis.lmpop(1, ["l2"], "LEFT", 1)).toEqual(["l2", ["a"]]);
    expect(await redis.sadd("s1", "a", "b", "c")).toBe(3);
    expect(await redis.sadd("s2", "b", "d")).toBe(2);
    expect((await redis.smembers("s1")).toSorted()).toEqual(["a", "b", "c"]);
    expect([
      await redis.sismember("s1", "a"),
      await redis.smismember("s1", ["a", "z"]),
      await redis.scard("s1"),
    ]).toEqual([1, [1, 0], 3]);
    expect([
      await redis.sinter("s1", "s2"),
      (await redis.sdiff("s1", "s2")).length,
      (await redis.sunion("s1", "s2")).length,
    ]).toEqual([["b"], 2, 4]);
    expect([
      await redis.sinterstore("d1", "s1", "s2"),
      await redis.sdiffstore("d2", "s1", "s2"),
      await redis.sunionstore("d3", "s1", "s2"),
      await redis.sintercard(["s1", "s2"]),
    ]).toEqual([1, 2, 4, 1]);
    expect([await redis.smove("s1", "s2", "a"), await redis.srem("s1", "b"), await redis.spop("s1")]).toEqual([
      1,
      1,
      "c",
    ]);
    expect(await redis.hset("h", { a: 1, b: { x: "y" } })).toBe(2);
    expect(await redis.hgetall("h")).toEqual({ a: 1, b: { x: "y" } });
    expect([
      await redis.hget("h", "a"),
      await redis.hmget("h", "a", "none"),
      await redis.hexists("h", "b"),
      await redis.hlen("h"),
    ]).toEqual([1, { a: 1, none: null }, 1, 2]);
    expect([
      await redis.hincrby("h", "a", 2),
      await redis.hincrbyfloat("h", "a", 0.5),
      await redis.hsetnx("h", "a", 0),
      await redis.hstrlen("h", "a"),
    ]).toEqual([3, 3.5, 0, 3]);
    expect([(await redis.hkeys("h")).toSorted(), await redis.hvals("h"), await redis.hdel("h", "a")]).toEqual([
      ["a", "b"],
      [3.5, { x: "y" }],
      1,
    ]);
    expect(await redis.hscan("h", 0)).toEqual(["0", ["b", { x: "y" }]]);
    expect(await redis.sscan("s2", 0)).toMatchObject(["0", anyArray]);
  });

  it("runs sorted sets, geo, HyperLogLog and streams", async () => {
    expect(
      await redis.zadd("z", { score: 1, member: "a" }, { score: 2.5, member: "b" }, { score: 3, member: "c" }),
    ).toBe(3);
    expect(await redis.zrange("z", 0, -1, { withScores: true })).toEqual(["a", 1, "b", 2.5, "c", 3]);
    expect(await redis.zrange("z", 3, 2, { byScore: true, rev: true })).toEqual(["c", "b"]);
    expect([
      await redis.zscore("z", "b"),
      await redis.zmscore("z", ["a", "x"]),
      await redis.zrank("z", "b"),
      await redis.zrevrank("z", "b"),
      await redis.zcount("z", 2, 3),
    ]).toEqual([2.5, [1, null], 1, 1, 2]);
    expect([
      await redis.zincrby("z", 1, "a"),
      await redis.zcard("z"),
      await redis.zpopmin("z"),
      await redis.zpopmax("z"),
    ]).toEqual([2, 3, ["a", 2], ["c", 3]]);
    await redis.zadd("y", { score: 7, member: "b" });
    expect([
      await redis.zunionstore("u", 2, ["z", "y"]),
      await redis.zinterstore("i", 2, ["z", "y"]),
      await redis.zdiffstore("d", 2, "z", "y"),
    ]).toEqual([1, 1, 0]);
    expect([
      await redis.zunion(2, ["z", "y"], { withScores: true }),
      await redis.zremrangebyscore("u", 0, 100),
      await redis.zrem("z", "b"),
    ]).toEqual([["b", 9.5], 1, 1]);
    expect(
      await redis.geoadd(
        "g",
        { longitude: 13.4, latitude: 52.5, member: "berlin" },
        { longitude: 2.35, latitude: 48.85, member: "paris" },
      ),
    ).toBe(2);
    expect(await redis.geodist("g", "berlin", "paris", "KM")).toBeGreaterThan(800);
    expect(
      await redis.geosearch(
        "g",
        { type: "FROMLONLAT", coordinate: { lon: 13, lat: 52 } },
        { type: "BYRADIUS", radius: 200, radiusType: "KM" },
        "ASC",
      ),
    ).toEqual([{ member: "berlin" }]);
    expect([await redis.pfadd("pf", "a", "b"), await redis.pfcount("pf"), await redis.pfmerge("pf2", "pf")]).toEqual([
      1,
      2,
      "OK",
    ]);
    const id = await redis.xadd("x", "*", { f: "v", n: 1 });
    expect(await redis.xlen("x")).toBe(1);
    expect(await redis.xrange("x", "-", "+")).toEqual({ [id]: { f: "v", n: 1 } });
    expect(await redis.xread("x", "0-0")).toEqual([["x", [[id, ["f", "v", "n", 1]]]]]);
    expect(await redis.xgroup("x", { type: "CREATE", group: "grp", id: "0" })).toBe("OK");
    expect(await redis.xreadgroup("grp", "me", "x", ">")).toHaveLength(1);
    expect(await redis.xpending("x", "grp", "-", "+", 10)).toHaveLength(1);
    expect([
      await redis.xack("x", "grp", id),
      await redis.xdel("x", id),
      await redis.xtrim("x", { strategy: "MAXLEN", threshold: 0 }),
    ]).toEqual([1, 1, 0]);
  });

  it("runs scripts, keyspace commands, pipelines and transactions", async () => {
    expect(await redis.eval("return {KEYS[1], ARGV[1], 3, {ok='fine'}}", ["k"], ["a"])).toEqual(["k", "a", 3, "fine"]);
    const sha = await redis.scriptLoad("return ARGV[1]");
    expect([await redis.scriptExists(sha, "0".repeat(40)), await redis.evalsha(sha, [], ["hi"])]).toEqual([
      [1, 0],
      "hi",
    ]);
    await expect(redis.evalsha("0".repeat(40), [], [])).rejects.toThrow(/NOSCRIPT/);
    expect(await redis.scriptFlush({ sync: true })).toBe("OK");
    await redis.mset({ a: 1, b: 2 });
    expect([
      (await redis.keys("*")).toSorted(),
      await redis.dbsize(),
      await redis.ping(),
      await redis.echo("e"),
    ]).toEqual([["a", "b"], 2, "PONG", "e"]);
    expect((await redis.time()).length).toBe(2);
    expect((await redis.scan(0, { match: "a*" }))[1]).toEqual(["a"]);
    expect(await redis.pipeline().set("p", 1).incr("p").get("p").exec()).toEqual(["OK", 2, 2]);
    expect(await redis.multi().set("p", 5).incr("p").hset("h", { a: 1 }).hgetall("h").exec()).toEqual([
      "OK",
      6,
      1,
      { a: 1 },
    ]);
    const mixed = await redis.pipeline().set("p", "text").incr("p").get("p").exec({ keepErrors: true });
    expect(mixed.map((entry) => entry.error !== undefined)).toEqual([false, true, false]);
  });

  it("keeps a transaction whole among others' commands", async () => {
    const pairs = Array.from({ length: 50 }, async () =>
      redis.multi().incr("one").incr("two").mget("one", "two").exec<[number, number, [number, number]]>(),
    );
    const noise = Array.from({ length: 50 }, async () => redis.incr("one"));
    const results = await Promise.all(pairs);
    await Promise.all(noise);
    for (const [one, two, both] of results) expect(both).toEqual([one, two]);
  });
});
