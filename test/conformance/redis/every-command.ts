/**
 * Every command method of `@upstash/redis`: a call, and what it answers over the keys that `seed` makes. `k` names a
 * key within the token's prefix. The methods of servers newer than a stock Redis 7.0 say since when; those of Upstash's
 * own services and of modules stand apart.
 */
import type { Redis } from "@upstash/redis";
import type { Redis as Native } from "ioredis";
import { expect } from "vitest";

export type Key = (name: string) => string;
export type Case = [method: string, call: (redis: Redis, k: Key) => Promise<unknown>, expected: unknown];

const some = (check: RegExp): unknown => expect.stringMatching(check);
const near = (value: number): unknown => expect.closeTo(value, 1);
const array: unknown = expect.any(Array);
const number: unknown = expect.any(Number);
const soon = 4_000_000_000;

export async function seed(native: Native, k: Key): Promise<void> {
  await native
    .multi()
    .flushall()
    .mset(k("s"), "value", k("n"), "5")
    .rpush(k("l"), "a", "b", "c")
    .sadd(k("set"), "a", "b")
    .sadd(k("set2"), "b", "c")
    .hset(k("h"), { f: "1", g: "x" })
    .zadd(k("z"), 1, "a", 2, "b", 3, "c")
    .zadd(k("z2"), 10, "b")
    .zadd(k("lex"), 0, "a", 0, "b", 0, "c")
    .xadd(k("x"), "1-1", "f", "v")
    .xadd(k("x"), "2-1", "f", "w")
    .xgroup("CREATE", k("x"), "group", "0")
    .xreadgroup("GROUP", "group", "me", "COUNT", 1, "STREAMS", k("x"), ">")
    .geoadd(k("g"), 13.361389, 38.115556, "palermo", 15.087269, 37.502669, "catania")
    .pfadd(k("pf"), "a", "b")
    .exec();
}

/** The client's declaration asks for the arguments of the command's constructor; what it takes is the key. */
function bitfieldOf(redis: Redis, key: string): ReturnType<Redis["bitfield"]> {
  const bitfield: unknown = Reflect.apply(redis.bitfield, redis, [key]);
  return bitfield as ReturnType<Redis["bitfield"]>;
}

/** With keys, so that a token with a prefix may run them. */
export const keyed: readonly Case[] = [
  ["append", (r, k) => r.append(k("s"), "!"), 6],
  ["bitcount", (r, k) => r.bitcount(k("n"), 0, -1), 4],
  ["bitfield", (r, k) => bitfieldOf(r, k("bits")).set("u8", 0, 7).incrby("u8", 0, 1).get("u8", 0).exec(), [0, 8, 8]],
  ["bitop", (r, k) => r.bitop("not", k("bits"), k("n")), 1],
  ["bitpos", (r, k) => r.bitpos(k("n"), 1), 2],
  ["copy", (r, k) => r.copy(k("s"), k("s2")), "COPIED"],
  ["decr", (r, k) => r.decr(k("n")), 4],
  ["decrby", (r, k) => r.decrby(k("n"), 3), 2],
  ["del", (r, k) => r.del(k("s"), k("n"), k("none")), 2],
  ["exists", (r, k) => r.exists(k("s"), k("none")), 1],
  ["expire", (r, k) => r.expire(k("s"), 100, "NX"), 1],
  ["expireat", (r, k) => r.expireat(k("s"), soon), 1],
  ["geoadd", (r, k) => r.geoadd(k("g"), { longitude: 13.4, latitude: 52.5, member: "berlin" }), 1],
  ["geodist", (r, k) => r.geodist(k("g"), "palermo", "catania", "KM"), near(166.27)],
  ["geohash", (r, k) => r.geohash(k("g"), "palermo", "none"), ["sqc8b49rny0", null]],
  ["geopos", (r, k) => r.geopos(k("g"), "palermo"), [{ lng: near(13.36), lat: near(38.12) }]],
  [
    "geosearch",
    (r, k) =>
      r.geosearch(
        k("g"),
        { type: "FROMMEMBER", member: "palermo" },
        { type: "BYBOX", rect: { width: 400, height: 400 }, rectType: "KM" },
        "ASC",
        { withDist: true },
      ),
    [
      { member: "palermo", dist: 0 },
      { member: "catania", dist: near(166.27) },
    ],
  ],
  [
    "geosearchstore",
    (r, k) =>
      r.geosearchstore(
        k("g2"),
        k("g"),
        { type: "FROMMEMBER", member: "palermo" },
        { type: "BYRADIUS", radius: 10, radiusType: "KM" },
        "ASC",
      ),
    1,
  ],
  ["get", (r, k) => r.get(k("s")), "value"],
  ["getbit", (r, k) => r.getbit(k("n"), 2), 1],
  ["getdel", (r, k) => r.getdel(k("s")), "value"],
  ["getex", (r, k) => r.getex(k("s"), { px: 5000 }), "value"],
  ["getrange", (r, k) => r.getrange(k("s"), 1, 2), "al"],
  ["getset", (r, k) => r.getset(k("s"), { b: 1 }), "value"],
  ["hdel", (r, k) => r.hdel(k("h"), "f", "none"), 1],
  ["hexists", (r, k) => r.hexists(k("h"), "f"), 1],
  ["hget", (r, k) => r.hget(k("h"), "g"), "x"],
  ["hgetall", (r, k) => r.hgetall(k("h")), { f: 1, g: "x" }],
  ["hincrby", (r, k) => r.hincrby(k("h"), "f", 2), 3],
  ["hincrbyfloat", (r, k) => r.hincrbyfloat(k("h"), "f", 0.5), 1.5],
  ["hkeys", (r, k) => r.hkeys(k("h")), ["f", "g"]],
  ["hlen", (r, k) => r.hlen(k("h")), 2],
  ["hmget", (r, k) => r.hmget(k("h"), "f", "none"), { f: 1, none: null }],
  ["hmset", (r, k) => r.hmset(k("h"), { m: { n: 1 } }), "OK"],
  ["hrandfield", (r, k) => r.hrandfield(k("h"), 2, true), { f: 1, g: "x" }],
  ["hscan", (r, k) => r.hscan(k("h"), 0, { match: "f" }), ["0", ["f", 1]]],
  ["hset", (r, k) => r.hset(k("h"), { f: 2, i: 3 }), 1],
  ["hsetnx", (r, k) => r.hsetnx(k("h"), "f", 9), 0],
  ["hstrlen", (r, k) => r.hstrlen(k("h"), "g"), 1],
  ["hvals", (r, k) => r.hvals(k("h")), [1, "x"]],
  ["incr", (r, k) => r.incr(k("n")), 6],
  ["incrby", (r, k) => r.incrby(k("n"), 10), 15],
  ["incrbyfloat", (r, k) => r.incrbyfloat(k("n"), 0.25), 5.25],
  ["lindex", (r, k) => r.lindex(k("l"), -1), "c"],
  ["linsert", (r, k) => r.linsert(k("l"), "after", "a", "x"), 4],
  ["llen", (r, k) => r.llen(k("l")), 3],
  ["lmove", (r, k) => r.lmove(k("l"), k("l2"), "right", "left"), "c"],
  ["lmpop", (r, k) => r.lmpop(2, [k("none"), k("l")], "RIGHT", 2), [some(/l$/), ["c", "b"]]],
  ["lpop", (r, k) => r.lpop(k("l"), 2), ["a", "b"]],
  ["lpos", (r, k) => r.lpos(k("l"), "b", { count: 2 }), [1]],
  ["lpush", (r, k) => r.lpush(k("l"), "x", "y"), 5],
  ["lpushx", (r, k) => r.lpushx(k("none"), "x"), 0],
  ["lrange", (r, k) => r.lrange(k("l"), 0, -1), ["a", "b", "c"]],
  ["lrem", (r, k) => r.lrem(k("l"), 0, "a"), 1],
  ["lset", (r, k) => r.lset(k("l"), 1, "x"), "OK"],
  ["ltrim", (r, k) => r.ltrim(k("l"), 1, 1), "OK"],
  ["mget", (r, k) => r.mget(k("s"), k("none"), k("n")), ["value", null, 5]],
  ["mset", (r, k) => r.mset({ [k("a")]: 1, [k("b")]: [2] }), "OK"],
  ["msetnx", (r, k) => r.msetnx({ [k("a")]: 1, [k("s")]: 2 }), 0],
  ["persist", (r, k) => r.persist(k("s")), 0],
  ["pexpire", (r, k) => r.pexpire(k("s"), 100_000), 1],
  ["pexpireat", (r, k) => r.pexpireat(k("s"), soon * 1000), 1],
  ["pfadd", (r, k) => r.pfadd(k("pf"), "c"), 1],
  ["pfcount", (r, k) => r.pfcount(k("pf")), 2],
  ["pfmerge", (r, k) => r.pfmerge(k("pf2"), k("pf")), "OK"],
  ["psetex", (r, k) => r.psetex(k("s"), 1000, "x"), "OK"],
  ["pttl", (r, k) => r.pttl(k("s")), -1],
  ["publish", (r, k) => r.publish(k("channel"), "message"), 0],
  ["rename", (r, k) => r.rename(k("s"), k("t")), "OK"],
  ["renamenx", (r, k) => r.renamenx(k("s"), k("n")), 0],
  ["rpop", (r, k) => r.rpop(k("l")), "c"],
  ["rpush", (r, k) => r.rpush(k("l"), "d"), 4],
  ["rpushx", (r, k) => r.rpushx(k("l"), "d"), 4],
  ["sadd", (r, k) => r.sadd(k("set"), "b", "z"), 1],
  ["scard", (r, k) => r.scard(k("set")), 2],
  ["sdiff", (r, k) => r.sdiff(k("set"), k("set2")), ["a"]],
  ["sdiffstore", (r, k) => r.sdiffstore(k("set3"), k("set"), k("set2")), 1],
  ["set", (r, k) => r.set(k("s"), "new", { xx: true, get: true, keepTtl: true }), "value"],
  ["setbit", (r, k) => r.setbit(k("n"), 0, 1), 0],
  ["setex", (r, k) => r.setex(k("s"), 10, "x"), "OK"],
  ["setnx", (r, k) => r.setnx(k("s"), "x"), 0],
  ["setrange", (r, k) => r.setrange(k("s"), 5, "!!"), 7],
  ["sinter", (r, k) => r.sinter(k("set"), k("set2")), ["b"]],
  ["sintercard", (r, k) => r.sintercard([k("set"), k("set2")], { limit: 1 }), 1],
  ["sinterstore", (r, k) => r.sinterstore(k("set3"), k("set"), k("set2")), 1],
  ["sismember", (r, k) => r.sismember(k("set"), "a"), 1],
  ["smembers", async (r, k) => (await r.smembers(k("set"))).toSorted(), ["a", "b"]],
  ["smismember", (r, k) => r.smismember(k("set"), ["a", "z"]), [1, 0]],
  ["smove", (r, k) => r.smove(k("set"), k("set2"), "a"), 1],
  ["spop", (r, k) => r.spop(k("set"), 2), array],
  ["srandmember", (r, k) => r.srandmember(k("set"), 2), array],
  ["srem", (r, k) => r.srem(k("set"), "a"), 1],
  ["sscan", (r, k) => r.sscan(k("set"), 0, { count: 10 }), ["0", array]],
  ["strlen", (r, k) => r.strlen(k("s")), 5],
  ["sunion", async (r, k) => (await r.sunion(k("set"), k("set2"))).length, 3],
  ["sunionstore", (r, k) => r.sunionstore(k("set3"), k("set"), k("set2")), 3],
  ["touch", (r, k) => r.touch(k("s"), k("none")), 1],
  ["ttl", (r, k) => r.ttl(k("none")), -2],
  ["type", (r, k) => r.type(k("z")), "zset"],
  ["unlink", (r, k) => r.unlink(k("s")), 1],
  ["xack", (r, k) => r.xack(k("x"), "group", "1-1"), 1],
  ["xadd", (r, k) => r.xadd(k("x"), "9-1", { f: 1 }), "9-1"],
  ["xautoclaim", (r, k) => r.xautoclaim(k("x"), "group", "you", 0, "0-0"), ["0-0", [["1-1", ["f", "v"]]], []]],
  ["xclaim", (r, k) => r.xclaim(k("x"), "group", "you", 0, "1-1"), [["1-1", ["f", "v"]]]],
  ["xdel", (r, k) => r.xdel(k("x"), "1-1"), 1],
  ["xgroup", (r, k) => r.xgroup(k("x"), { type: "CREATE", group: "other", id: "$" }), "OK"],
  ["xinfo", (r, k) => r.xinfo(k("x"), { type: "GROUPS" }), [expect.arrayContaining(["name", "group"])]],
  ["xlen", (r, k) => r.xlen(k("x")), 2],
  ["xpending", (r, k) => r.xpending(k("x"), "group", "-", "+", 5), [["1-1", "me", number, 1]]],
  ["xrange", (r, k) => r.xrange(k("x"), "-", "+", 1), { "1-1": { f: "v" } }],
  ["xread", (r, k) => r.xread(k("x"), "1-1"), [[some(/x$/), [["2-1", ["f", "w"]]]]]],
  ["xreadgroup", (r, k) => r.xreadgroup("group", "me", k("x"), ">"), [[some(/x$/), [["2-1", ["f", "w"]]]]]],
  ["xrevrange", (r, k) => r.xrevrange(k("x"), "+", "-", 1), { "2-1": { f: "w" } }],
  ["xtrim", (r, k) => r.xtrim(k("x"), { strategy: "MAXLEN", exactness: "=", threshold: 1 }), 1],
  ["zadd", (r, k) => r.zadd(k("z"), { xx: true, ch: true, gt: true }, { score: 5, member: "a" }), 1],
  ["zcard", (r, k) => r.zcard(k("z")), 3],
  ["zcount", (r, k) => r.zcount(k("z"), "(1", "+inf"), 2],
  ["zdiffstore", (r, k) => r.zdiffstore(k("z3"), 2, k("z"), k("z2")), 2],
  ["zincrby", (r, k) => r.zincrby(k("z"), 1.5, "a"), 2.5],
  ["zinterstore", (r, k) => r.zinterstore(k("z3"), 2, [k("z"), k("z2")], { weights: [1, 2], aggregate: "max" }), 1],
  ["zlexcount", (r, k) => r.zlexcount(k("lex"), "[a", "(c"), 2],
  ["zmscore", (r, k) => r.zmscore(k("z"), ["a", "none"]), [1, null]],
  ["zpopmax", (r, k) => r.zpopmax(k("z"), 2), ["c", 3, "b", 2]],
  ["zpopmin", (r, k) => r.zpopmin(k("z")), ["a", 1]],
  ["zrange", (r, k) => r.zrange(k("lex"), "[b", "+", { byLex: true, offset: 0, count: 1 }), ["b"]],
  ["zrank", (r, k) => r.zrank(k("z"), "b"), 1],
  ["zrem", (r, k) => r.zrem(k("z"), "a", "none"), 1],
  ["zremrangebylex", (r, k) => r.zremrangebylex(k("lex"), "[a", "[b"), 2],
  ["zremrangebyrank", (r, k) => r.zremrangebyrank(k("z"), 0, 1), 2],
  ["zremrangebyscore", (r, k) => r.zremrangebyscore(k("z"), "(1", 3), 2],
  ["zrevrank", (r, k) => r.zrevrank(k("z"), "b"), 1],
  ["zscan", (r, k) => r.zscan(k("z"), 0, { match: "a" }), ["0", ["a", 1]]],
  ["zscore", (r, k) => r.zscore(k("z"), "c"), 3],
  ["zunion", (r, k) => r.zunion(2, [k("z"), k("z2")], { withScores: true }), ["a", 1, "c", 3, "b", 12]],
  ["zunionstore", (r, k) => r.zunionstore(k("z3"), 2, [k("z"), k("z2")]), 3],
];

/** Over the whole keyspace, or with code of the caller's: for tokens without a prefix. */
export const unkeyed: readonly Case[] = [
  ["dbsize", (r) => r.dbsize(), 12],
  ["echo", (r) => r.echo("e ✓"), "e ✓"],
  ["eval", (r, k) => r.eval("return {KEYS[1], ARGV[1]}", [k("s")], ["x"]), [some(/s$/), "x"]],
  ["evalRo", (r, k) => r.evalRo("return redis.call('GET', KEYS[1])", [k("s")], []), "value"],
  ["evalsha", async (r) => r.evalsha(await r.scriptLoad("return 1"), [], []), 1],
  ["evalshaRo", async (r, k) => r.evalshaRo(await r.scriptLoad("return KEYS[1]"), [k("s")], []), some(/s$/)],
  ["exec", (r, k) => r.exec(["GET", k("s")]), "value"],
  ["flushall", (r) => r.flushall([{ async: true }]), "OK"],
  ["flushdb", (r) => r.flushdb({ async: true }), "OK"],
  ["keys", async (r) => (await r.keys("*")).length, 12],
  ["ping", (r) => r.ping(["hello"]), "hello"],
  ["randomkey", (r) => r.randomkey(), some(/./)],
  ["scan", async (r, k) => (await r.scan(0, { match: k("l*"), count: 100 }))[1].length, 2],
  ["scriptExists", async (r) => r.scriptExists(await r.scriptLoad("return 2"), "0".repeat(40)), [1, 0]],
  ["scriptFlush", (r) => r.scriptFlush({ async: true }), "OK"],
  ["scriptLoad", (r) => r.scriptLoad("return 3"), some(/^[0-9a-f]{40}$/)],
  ["time", (r) => r.time(), [number, number]],
];

/** Commands of later servers: since which version. An older one says that it doesn't know them. */
export const later: readonly [since: string, ...Case][] = [
  ["7.4", "hexpire", (r, k) => r.hexpire(k("h"), "f", 100), [1]],
  ["7.4", "hexpireat", (r, k) => r.hexpireat(k("h"), "f", soon), [1]],
  ["7.4", "hexpiretime", (r, k) => r.hexpiretime(k("h"), "f"), [-1]],
  ["7.4", "hpersist", (r, k) => r.hpersist(k("h"), "f"), [-1]],
  ["7.4", "hpexpire", (r, k) => r.hpexpire(k("h"), "f", 100_000), [1]],
  ["7.4", "hpexpireat", (r, k) => r.hpexpireat(k("h"), "f", soon * 1000), [1]],
  ["7.4", "hpexpiretime", (r, k) => r.hpexpiretime(k("h"), "f"), [-1]],
  ["7.4", "hpttl", (r, k) => r.hpttl(k("h"), "f"), [-1]],
  ["7.4", "httl", (r, k) => r.httl(k("h"), "f"), [-1]],
  ["8.0", "hgetdel", (r, k) => r.hgetdel(k("h"), "f"), { f: 1 }],
  ["8.0", "hgetex", (r, k) => r.hgetex(k("h"), { ex: 100 }, "f"), { f: 1 }],
  ["8.0", "hsetex", (r, k) => r.hsetex(k("h"), { expiration: { ex: 100 } }, { f: 2 }), 1],
  ["8.2", "xackdel", (r, k) => r.xackdel(k("x"), "group", "ACKED", "1-1"), [1]],
  ["8.2", "xdelex", (r, k) => r.xdelex(k("x"), "KEEPREF", "1-1"), [1]],
];

/** The operator's: refused to every token. */
export const refused: readonly Case[] = [["clientSetinfo", (r) => r.clientSetinfo("LIB-NAME", "x"), null]];

/**
 * Upstash's own, or of a module: a stock server says that it doesn't know them. The lists hold what stands behind each
 * name.
 */
export const elsewhere: readonly string[] = ["json", "search", "vector"];
/** Upstash's arrays. */
export const arrays = /^ar[a-z]+$/;

/**
 * Not commands: how commands are sent, and what is tested in borders.engine.test.ts (subscriptions),
 * exact.engine.test.ts (functions) and commands.engine.test.ts.
 */
export const notCommands: ReadonlySet<string> = new Set([
  ...["constructor", "client", "opts", "enableTelemetry", "enableAutoPipelining", "use", "addTelemetry"],
  ...["autoPipelineExecutor", "readYourWritesSyncToken", "createScript"],
  ...["pipeline", "autoPipeline", "multi", "subscribe", "psubscribe", "functions"],
]);
