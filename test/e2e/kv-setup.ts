/**
 * The stack of the end-to-end tests once more with `delivery: kv`: `/pool/v1/events` is closed, and every event comes home through a real Redis behind
 * the bridge. Edge and pool have tokens of their own there, limited to their prefixes.
 */
import type { TestProject } from "vitest/node";
import { bridgeFor, startRedis } from "../conformance/bridge/engines.ts";
import { provideStack } from "./global-setup.ts";

const EDGE_TOKEN = "edge-token-0123456789";
const POOL_TOKEN = "pool-token-0123456789";

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const redis = await startRedis();
  const tokens = [
    { token: EDGE_TOKEN, keyPrefix: "edgeplane:" },
    { token: POOL_TOKEN, keyPrefix: "edgeplane:host-1:" },
  ];
  const bridge = await bridgeFor({ redis: { url: redis.url, tokens } });
  const url = `${bridge.url}/redis`;
  const stop = await provideStack(project, {
    vars: { DELIVERY: "kv", KV_REST_URL: url, KV_REST_TOKEN: EDGE_TOKEN },
    poolEnv: {
      EDGEPLANE_DELIVERY: "kv",
      EDGEPLANE_KV_URL: url,
      EDGEPLANE_KV_TOKEN: POOL_TOKEN,
      EDGEPLANE_KV_PREFIX: "edgeplane:host-1:",
    },
  });
  return async () => {
    await stop();
    await bridge.close();
    await redis.stop();
  };
}
