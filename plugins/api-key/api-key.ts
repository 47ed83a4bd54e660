/**
 * Authenticates `Authorization: Bearer ep_…` and `Authorization: Token ep_…` (the form that Replicate's older clients
 * send). A key is 256 random bits and a MAC; the store knows only its SHA-256. A key that was looked up is remembered
 * in the isolate for some seconds, so that a warm isolate asks nobody; a revoked key works that long and no longer, one
 * that expires not even that.
 * What a stranger makes up is refused by its MAC, without the store; keys that are unknown are remembered apart, so
 * that they drive out none that are valid.
 */
import * as z from "zod";
import { definePlugin } from "../kernel/define-plugin.ts";
import { proceed } from "../kernel/phases.ts";
import type { Call, Principal, Verdict } from "../kernel/phases.ts";
import { createTtlCache } from "../kernel/ttl-cache.ts";
import { API_KEY_PATTERN, sha256Hex } from "../kernel/secret.ts";

const CREDENTIAL = /^(?:bearer|token) +(ep_\S+)$/i;

const ConfigSchema = z.strictObject({
  cacheMs: z.number().int().min(0).max(10_000).default(10_000),
  /** For keys that are unknown: shorter, so that a key works soon after it was made. */
  unknownCacheMs: z.number().int().min(0).max(10_000).default(2000),
  cachedKeys: z.number().int().min(1).max(100_000).default(10_000),
  unknownCachedKeys: z.number().int().min(1).max(100_000).default(1000),
});

export const apiKey = definePlugin({
  name: "api-key",
  apiVersion: 1,
  config: ConfigSchema,
  phases: ["authenticate"],
  needs: ["keys"],
  setup: ({ config, services }) => {
    const known = createTtlCache<Principal>(config.cachedKeys);
    const unknown = createTtlCache<true>(config.unknownCachedKeys);

    const lookUp = async (call: Readonly<Call>, key: string): Promise<Verdict<Call>> => {
      if (!(await services.keys.mayExist(key))) return decide(call, null);
      const found = await services.keys.find(await sha256Hex(key));
      if (found === null) unknown.set(key, true, config.unknownCacheMs);
      else known.set(key, found.principal, Math.min(config.cacheMs, (found.expiresAt ?? Infinity) - Date.now()));
      return decide(call, found?.principal ?? null);
    };

    return {
      authenticate: (call) => {
        if (call.principal !== null) return proceed;
        const key = CREDENTIAL.exec(call.header("authorization") ?? "")?.[1];
        if (key === undefined) return proceed;
        if (!API_KEY_PATTERN.test(key)) return decide(call, null);
        const principal = known.get(key);
        if (principal !== undefined) return decide(call, principal);
        return unknown.get(key) === true ? decide(call, null) : lookUp(call, key);
      },
    };
  },
});

function decide(call: Readonly<Call>, principal: Principal | null): Verdict<Call> {
  if (principal !== null) return { verdict: "continue", subject: { ...call, principal } };
  return {
    verdict: "reject",
    code: "unauthenticated",
    message: "The API key is not valid, has expired, or was revoked.",
  };
}
