/** All algorithms of `@upstash/ratelimit` through the Redis door, on a stock Redis. */
import { Ratelimit, MultiRegionRatelimit } from "@upstash/ratelimit";
import { Redis } from "@upstash/redis";
import { beforeEach, describe, expect, it } from "vitest";
import { hasRedis } from "../bridge/engines.ts";
import { FULL, PREFIXED, useRedisDoor } from "./fixture.ts";

const algorithms = {
  "fixed window": Ratelimit.fixedWindow(4, "1 h"),
  "sliding window": Ratelimit.slidingWindow(4, "1 h"),
  "token bucket": Ratelimit.tokenBucket(1, "1 h", 4),
  "cached fixed window": Ratelimit.cachedFixedWindow(4, "1 h"),
} as const;
const regional = {
  "fixed window": MultiRegionRatelimit.fixedWindow(4, "1 h"),
  "sliding window": MultiRegionRatelimit.slidingWindow(4, "1 h"),
} as const;
const tokens = { "a full token": FULL, "a token with a prefix": PREFIXED } as const;

describe.runIf(hasRedis)("@upstash/ratelimit through the Redis door", () => {
  const { native, client } = useRedisDoor("limits:");

  beforeEach(async () => {
    await native().flushall();
    await native().script("FLUSH");
  });

  for (const [whose, token] of Object.entries(tokens)) {
    for (const [name, limiter] of Object.entries(algorithms)) {
      it(`limits with a ${name} and ${whose}`, async () => {
        const ephemeralCache = name.startsWith("cached") ? new Map<string, number>() : false;
        const limit = new Ratelimit({
          redis: client(token),
          limiter,
          prefix: `limits:${name}`,
          ephemeralCache,
          timeout: 0,
        });
        const results = [];
        for (let call = 0; call < 6; call++) results.push(await limit.limit("user"));
        expect(results.map(({ success }) => success)).toEqual([true, true, true, true, false, false]);
        expect(results.every(({ limit: most, reason }) => most === 4 && reason !== "timeout")).toBe(true);
        expect((await limit.getRemaining("user")).remaining).toBe(0);
        expect((await limit.limit("other")).success).toBe(true);
        await limit.resetUsedTokens("user");
        expect((await limit.limit("user")).success).toBe(true);
      });
    }
  }

  for (const [name, limiter] of Object.entries(regional)) {
    it(`limits over several regions with a ${name}`, async () => {
      const limit = new MultiRegionRatelimit({
        redis: regions([client(FULL), client(FULL)]),
        limiter,
        prefix: `m:${name}`,
        ephemeralCache: false,
        timeout: 0,
      });
      const results = [];
      for (let call = 0; call < 6; call++) {
        const { success, pending } = await limit.limit("user");
        await pending;
        results.push(success);
      }
      expect(results).toEqual([true, true, true, true, false, false]);
    });
  }

  it("lets no more through than the limit when many ask at once", async () => {
    const limit = new Ratelimit({
      redis: client(FULL),
      limiter: Ratelimit.slidingWindow(25, "1 h"),
      ephemeralCache: false,
      timeout: 0,
    });
    const results = await Promise.all(Array.from({ length: 120 }, async () => limit.limit("user")));
    expect(results.filter(({ success }) => success)).toHaveLength(25);
  });

  it("runs a script by its SHA once it knows it, also when Redis forgot it", async () => {
    const limit = new Ratelimit({
      redis: client(FULL),
      limiter: Ratelimit.fixedWindow(100, "1 h"),
      ephemeralCache: false,
      timeout: 0,
    });
    await limit.limit("user");
    const evals = async () => Number(/cmdstat_eval:calls=(\d+)/.exec(await native().info("commandstats"))?.[1] ?? 0);
    const before = await evals();
    for (let call = 0; call < 5; call++) await limit.limit("user");
    expect(await evals()).toBe(before);
    await native().script("FLUSH");
    expect((await limit.limit("user")).remaining).toBe(93);
  });
});

type Regions = ConstructorParameters<typeof MultiRegionRatelimit>[0]["redis"];

/**
 * The package's types know the client only in its CommonJS declaration, which is a class of its own to the compiler.
 */
function regions(clients: unknown[]): Regions {
  if (areRegions(clients)) return clients;
  throw new Error("not clients of @upstash/redis");
}

function areRegions(clients: unknown[]): clients is Regions {
  return clients.every((client) => client instanceof Redis);
}
