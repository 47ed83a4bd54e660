/**
 * A real Redis behind the bridge, and the settings of a stack that brings its events home through it, with
 * `/pool/v1/events` closed.
 */
import type { StackOptions } from "../../../scripts/lib/stack.ts";
import { bridgeFor, startRedis } from "./engines.ts";
import type { TestRedis } from "./engines.ts";

/** Edge and pool have tokens of their own, limited to their prefixes. */
const EDGE_TOKEN = "edge-token-0123456789";
export const POOL_TOKEN = "pool-token-0123456789";
export const READER_TOKEN = "reader-token-0123456789";
export const FREE_TOKEN = "free-token-0123456789";
const EDGE_PREFIX = "edgeplane:";
export const POOL_PREFIX = "edgeplane:host-1:";

export type Kv = {
  redis: TestRedis;
  /** The bridge's Redis door. */
  url: string;
  stack: Required<Pick<StackOptions, "vars" | "poolEnv">>;
  stop(): Promise<void>;
};

export async function startKv(): Promise<Kv> {
  const redis = await startRedis();
  const tokens = [
    { token: EDGE_TOKEN, keyPrefix: EDGE_PREFIX },
    { token: POOL_TOKEN, keyPrefix: POOL_PREFIX },
    { token: READER_TOKEN, keyPrefix: POOL_PREFIX, readOnly: true },
    { token: FREE_TOKEN },
  ];
  const bridge = await bridgeFor({ redis: { url: redis.url, tokens } });
  const url = `${bridge.url}/redis`;
  return {
    redis,
    url,
    stack: {
      vars: { DELIVERY: "kv", KV_REST_URL: url, KV_REST_TOKEN: EDGE_TOKEN },
      poolEnv: {
        EDGEPLANE_DELIVERY: "kv",
        EDGEPLANE_KV_URL: url,
        EDGEPLANE_KV_TOKEN: POOL_TOKEN,
        EDGEPLANE_KV_PREFIX: POOL_PREFIX,
      },
    },
    async stop() {
      await bridge.close();
      await redis.stop();
    },
  };
}
