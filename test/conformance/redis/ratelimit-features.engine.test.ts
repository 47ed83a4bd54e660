/**
 * What `@upstash/ratelimit` offers beyond its algorithms, through the Redis door: with a token that may do all, and one
 * that is kept to a prefix.
 */
import { IpDenyList, MultiRegionRatelimit, Ratelimit } from "@upstash/ratelimit";
import { Redis } from "@upstash/redis";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { bridgeFor, hasRedis, startRedis } from "../bridge/engines.ts";
import { FULL, PREFIXED, useRedisDoor } from "./fixture.ts";

const PREFIX = "limits:";
const DENY_LIST_HOST = "raw.githubusercontent.com";

describe.runIf(hasRedis)("@upstash/ratelimit's features through the Redis door", () => {
  const { native, client } = useRedisDoor(PREFIX);

  beforeEach(async () => {
    await native().flushall();
    await native().script("FLUSH");
  });

  describe.each([
    ["a full token", FULL],
    ["a token with a prefix", PREFIXED],
  ])("with %s", (_whose, token) => {
    let serial = 0;
    const options = () => ({
      redis: client(token),
      prefix: `${PREFIX}${(serial += 1)}`,
      ephemeralCache: false as const,
      timeout: 0,
    });

    it.each([
      ["fixed window", Ratelimit.fixedWindow(10, "1 h")],
      ["sliding window", Ratelimit.slidingWindow(10, "1 h")],
      ["token bucket", Ratelimit.tokenBucket(1, "1 h", 10)],
    ])("spends several at once, and gives some back: %s", async (_name, limiter) => {
      const limit = new Ratelimit({ ...options(), limiter });
      expect(await limit.limit("user", { rate: 7 })).toMatchObject({ success: true, remaining: 3 });
      expect((await limit.limit("user", { rate: 4 })).success).toBe(false);
      await limit.resetUsedTokens("user");
      expect((await limit.getRemaining("user")).remaining).toBe(10);
      await limit.limit("user", { rate: 5 });
      await limit.limit("user", { rate: -2 });
      expect((await limit.getRemaining("user")).remaining).toBe(7);
    });

    it("waits until there is room, and not beyond its time", async () => {
      const limit = new Ratelimit({ ...options(), limiter: Ratelimit.fixedWindow(1, "700 ms") });
      expect((await limit.limit("user")).success).toBe(true);
      expect((await limit.blockUntilReady("user", 5000)).success).toBe(true);
      const long = new Ratelimit({ ...options(), limiter: Ratelimit.fixedWindow(1, "1 h") });
      await long.limit("user");
      expect((await long.blockUntilReady("user", 50)).success).toBe(false);
    });

    it("remembers who is blocked, without asking Redis", async () => {
      const limit = new Ratelimit({
        ...options(),
        limiter: Ratelimit.fixedWindow(1, "1 h"),
        ephemeralCache: new Map(),
      });
      await limit.limit("user");
      expect((await limit.limit("user")).reason).toBeUndefined();
      expect(await limit.limit("user")).toMatchObject({ success: false, reason: "cacheBlock" });
    });

    it("changes a limit while it runs", async () => {
      const limit = new Ratelimit({ ...options(), limiter: Ratelimit.slidingWindow(10, "1 h"), dynamicLimits: true });
      await limit.setDynamicLimit({ limit: 1 });
      expect(await limit.getDynamicLimit()).toMatchObject({ dynamicLimit: 1 });
      expect([(await limit.limit("user")).success, (await limit.limit("user")).success]).toEqual([true, false]);
      await limit.setDynamicLimit({ limit: false });
      expect((await limit.limit("user")).success).toBe(true);
    });

    it("refuses who stands on a deny list: an identifier, an address, a user agent, a country", async () => {
      const shared = options();
      const limit = new Ratelimit({ ...shared, limiter: Ratelimit.fixedWindow(10, "1 h"), enableProtection: true });
      const denied = ["bad-user", "192.0.2.1", "bad-agent", "XX"].map((name) => `${name}-${token}`);
      await shared.redis.sadd(`${shared.prefix}:denyList:all`, "nobody", ...denied);
      await IpDenyList.disableIpDenyList(declared(shared.redis), shared.prefix);
      const [user = "", ip = "", userAgent = "", country = ""] = denied;
      expect((await limit.limit("good", { ip: "198.51.100.1", userAgent: "curl", country: "DE" })).success).toBe(true);
      for (const [identifier, request] of [
        [user, {}],
        ["good", { ip }],
        ["good", { userAgent }],
        ["good", { country }],
      ] as const) {
        expect(await limit.limit(identifier, request)).toMatchObject({ success: false, reason: "denyList" });
      }
    });

    it("fills its list of bad addresses", async () => {
      const { fetch } = globalThis;
      vi.stubGlobal("fetch", (input: string | URL | Request, init?: RequestInit) => {
        const url = input instanceof Request ? input.url : String(input);
        return url.includes(DENY_LIST_HOST)
          ? Promise.resolve(new Response("203.0.113.7\n203.0.113.8\n"))
          : fetch(input, init);
      });
      try {
        const { redis, prefix } = options();
        const filled = await IpDenyList.updateIpDenyList(declared(redis), prefix, 6);
        expect(filled.at(-1)).toBe("OK");
        const members = await redis.smembers(`${prefix}:denyList:all`);
        expect(members.toSorted()).toEqual(["203.0.113.7", "203.0.113.8"]);
      } finally {
        vi.unstubAllGlobals();
      }
    });

    it("counts for its analytics", async () => {
      const shared = options();
      const limit = new Ratelimit({ ...shared, limiter: Ratelimit.fixedWindow(1, "1 h"), analytics: true });
      for (let call = 0; call < 3; call++) await (await limit.limit("user")).pending;
      const keys = await native().keys(`${shared.prefix}:events:*`);
      expect(keys).toHaveLength(1);
      const counts = await native().zrange(keys[0] ?? "", 0, "-1", "WITHSCORES");
      expect(counts.filter((_value, index) => index % 2 === 1).map(Number)).toEqual([1, 2]);
    });
  });

  it.each([
    ["fixed window", MultiRegionRatelimit.fixedWindow(4, "1 h")],
    ["sliding window", MultiRegionRatelimit.slidingWindow(4, "1 h")],
  ])("over two regions tells what remains, and resets: %s", async (name, limiter) => {
    const other = await startRedis();
    const second = await bridgeFor({ redis: { url: other.url, tokens: [{ token: PREFIXED, keyPrefix: PREFIX }] } });
    try {
      const clients = [client(PREFIXED), new Redis({ url: `${second.url}/redis`, token: PREFIXED, retry: false })];
      const limit = new MultiRegionRatelimit({
        redis: clients.map(declared),
        limiter,
        prefix: `${PREFIX}multi:${name}`,
        ephemeralCache: false,
        timeout: 0,
      });
      for (let call = 0; call < 3; call++) await (await limit.limit("user")).pending;
      expect((await limit.getRemaining("user")).remaining).toBe(1);
      await limit.resetUsedTokens("user");
      // It doesn't wait for the regions.
      await expect.poll(async () => (await limit.getRemaining("user")).remaining).toBe(4);
    } finally {
      await second.close();
      await other.stop();
    }
  });
});

/**
 * The package's types know the client only in its CommonJS declaration, which is a class of its own to the compiler.
 */
function declared(client: unknown): Parameters<typeof IpDenyList.disableIpDenyList>[0] {
  return client as Parameters<typeof IpDenyList.disableIpDenyList>[0];
}
