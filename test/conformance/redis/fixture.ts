/** A bridge with a Redis door over a real Redis of its own, for one test file. */
import { Redis } from "@upstash/redis";
import { Redis as Native } from "ioredis";
import { afterAll, beforeAll } from "vitest";
import type { Bridge } from "../../../gpu-pool/bridge/server.ts";
import { bridgeFor, startRedis } from "../bridge/engines.ts";
import type { TestRedis } from "../bridge/engines.ts";

/** A token that may do all, and one that is kept to the prefix. */
export const FULL = "full-token-0123456789";
export const PREFIXED = "prefixed-token-0123456789";

/** Starts both before the tests of the file and stops them after. `settings` go over the door's own. */
export function useRedisDoor(prefix: string, settings: object = {}) {
  let engine: TestRedis;
  let bridge: Bridge;
  let native: Native;

  beforeAll(async () => {
    engine = await startRedis();
    native = new Native(engine.url, { retryStrategy: () => 50 });
    native.on("error", () => {});
    bridge = await bridgeFor({
      redis: { url: engine.url, tokens: [{ token: FULL }, { token: PREFIXED, keyPrefix: prefix }], ...settings },
    });
  }, 60_000);

  afterAll(async () => {
    native?.disconnect();
    await bridge?.close();
    await engine?.stop();
  });

  return {
    engine: () => engine,
    native: () => native,
    url: () => bridge.url,
    /** A client of the door, without retries. */
    client: (token: string) => new Redis({ url: `${bridge.url}/redis`, token, retry: false }),
  };
}
