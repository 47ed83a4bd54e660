import { describe, expect, it } from "vitest";
import type { AllowanceAnswer, AllowanceService, Charge } from "../kernel/allowance.ts";
import { aCall, describePlugin } from "../kernel/conformance.ts";
import { buildSnapshot } from "../kernel/snapshot.ts";
import type { PredictionCall } from "../kernel/phases.ts";
import { addressOf } from "./address.ts";
import { limitHeaders } from "./headers.ts";
import { rateLimit } from "./rate-limit.ts";

const reservation = { service: "allowance", id: "r", data: null } as const;

function serviceOf(answer: (charges: readonly Charge[]) => AllowanceAnswer, asked: Charge[] = []): AllowanceService {
  return {
    stores: ["objects"],
    reserve: (_store, _expiresAt, charges) => {
      asked.push(...charges);
      return answer(charges);
    },
  };
}

const open = (charges: readonly Charge[]): AllowanceAnswer => ({
  ...{ ok: true, reservation },
  states: charges.map(({ spec, amount }) => ({ remaining: spec.limit - amount, resetMs: 30_000 })),
});

async function admit(limits: object[], service: AllowanceService, call: Partial<PredictionCall> = {}) {
  const snapshot = await buildSnapshot(
    1,
    [rateLimit],
    { "rate-limit": { config: { limits } } },
    { allowance: service },
  );
  const [hook] = snapshot.hooks.admit;
  return hook?.run({ ...aCall(), ...call });
}

describePlugin(rateLimit, {
  services: { allowance: serviceOf(open) },
  badConfigs: [
    {},
    { limits: [] },
    { limits: [{ name: "a", per: "key", limit: -1 }] },
    { limits: [{ name: "a", per: "key", limit: 1.5 }] },
    { limits: [{ name: "a", per: "key", limit: 1e12 + 1 }] },
    { limits: [{ name: "a", per: "nobody", limit: 1 }] },
    { limits: [{ name: "a", per: "key", limit: 1, windowMs: 0 }] },
    { limits: [{ name: "Not a name", per: "key", limit: 1 }] },
    { limits: [{ name: "a", per: "key", limit: 1, algorithm: "token-bucket" }] },
    { limits: [{ name: "a", per: "key", limit: 1, algorithm: "token-bucket", refill: 0 }] },
    { limits: [{ name: "a", per: "key", limit: 1, of: "concurrency", windowMs: 1000 }] },
    { limits: Array.from({ length: 9 }, (_, index) => ({ name: `n${index}`, per: "key", limit: 1 })) },
    {
      limits: [
        { name: "a", per: "key", limit: 1 },
        { name: "a", per: "ip", limit: 1 },
      ],
    },
    { limits: [{ name: "a", per: "key", limit: 1 }], store: "redis" },
  ],
});

describe("rate-limit", () => {
  it("asks for all limits at once, each of whom it is for", async () => {
    const asked: Charge[] = [];
    const limits = [
      { name: "k", per: "key", limit: 10 },
      { name: "a", per: "account", of: "cost", limit: 1e12, algorithm: "token-bucket", refill: 5, windowMs: 1000 },
      { name: "m", per: "model", of: "bytes", limit: 1000, algorithm: "fixed-window", windowMs: 86_400_000 },
      { name: "am", per: ["account", "model"], of: "concurrency", limit: 2 },
      { name: "i", per: "ip", limit: 5 },
    ];
    await admit(limits, serviceOf(open, asked), { cost: 7, inputBytes: 300, clientIp: "2001:db8:0:1::7" });
    expect(asked.map(({ subject, bucket, unit, amount }) => [subject, bucket, unit, amount])).toEqual([
      ["account:account-1", "k r s60000 key-1", "requests", 1],
      ["account:account-1", "a c t1000 account-1", "cost", 7],
      ["model:acme/echo", "m b f86400000 acme/echo", "bytes", 300],
      ["account:account-1", "am c c account-1 acme/echo", "concurrency", 1],
      ["ip:2001:db8:0:1::/64", "i r s60000 2001:db8:0:1::/64", "requests", 1],
    ]);
  });

  it.each([
    ["key", "key_limit_reached"],
    ["account", "account_limit_reached"],
    ["model", "model_limit_reached"],
    ["ip", "address_limit_reached"],
    ["everyone", "gateway_limit_reached"],
  ])("says whose limit is reached: per %s, %s, and when to come back", async (per, code) => {
    const states = [{ remaining: 0, resetMs: 12_345 }];
    const service = serviceOf(() => ({ ok: false, by: 0, retryAfterMs: 12_345, states }));
    expect(await admit([{ name: "n", per, limit: 10 }], service)).toMatchObject({
      ...{ verdict: "reject", code, retryAfterMs: 12_345 },
      headers: { ratelimit: '"n";r=0;t=13', "x-ratelimit-remaining-requests": "0" },
    });
  });

  it("tells nobody to come back to a limit that never lets it through", async () => {
    const service = serviceOf(() => ({ ok: false, by: 0, retryAfterMs: null, states: [{ remaining: 0, resetMs: 1 }] }));
    const verdict = await admit([{ name: "n", per: "key", limit: 0 }], service);
    expect(verdict).toMatchObject({ verdict: "reject", code: "above_limit" });
    expect(verdict).not.toHaveProperty("retryAfterMs");
  });

  it("leaves out limits of an address where there is none", async () => {
    const asked: Charge[] = [];
    const limits = [{ name: "i", per: "ip", limit: 1 }];
    expect(await admit(limits, serviceOf(open, asked), { clientIp: null })).toEqual({ verdict: "continue" });
    expect(asked).toEqual([]);
  });

  it("lets the request through with what is left in its headers, and the reservation", async () => {
    const limits = [
      { name: "minute", per: "key", limit: 100 },
      { name: "hour", per: "account", limit: 10, windowMs: 3_600_000 },
      { name: "big", per: "account", of: "bytes", limit: 1e12, algorithm: "fixed-window" },
      { name: "slots", per: "account", of: "concurrency", limit: 4 },
    ];
    expect(await admit(limits, serviceOf(open), { inputBytes: 5 })).toEqual({
      verdict: "continue",
      reservation,
      headers: {
        "ratelimit-policy":
          '"minute";q=100;w=60, "hour";q=10;w=3600, "big";q=1000000000000;qu="content-bytes";w=60, "slots";q=4;qu="concurrent-requests"',
        ratelimit: '"minute";r=99;t=30, "hour";r=9;t=30, "big";r=999999999995;t=30, "slots";r=3',
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "9",
        "x-ratelimit-reset-requests": "30s",
        "x-ratelimit-limit-bytes": "1000000000000",
        "x-ratelimit-remaining-bytes": "999999999995",
        "x-ratelimit-reset-bytes": "30s",
        "x-ratelimit-limit-concurrency": "4",
        "x-ratelimit-remaining-concurrency": "3",
        "x-ratelimit-reset-concurrency": "30s",
      },
    });
  });

  it.each([
    [0, "0ms"],
    [998.2, "999ms"],
    [999.2, "1s"],
    [1001, "2s"],
    [61_000, "1m1s"],
    [3_600_000, "1h0m0s"],
  ])("writes %i ms as %s", (resetMs, text) => {
    const limit = {
      name: "n",
      per: "key",
      of: "requests",
      limit: 1,
      algorithm: "fixed-window",
      windowMs: 1000,
    } as const;
    const headers = limitHeaders([{ limit, state: { remaining: 1, resetMs } }]);
    expect(headers["x-ratelimit-reset-requests"]).toBe(text);
  });

  it.each([
    ["192.0.2.1", "192.0.2.1"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["2001:db8::1", "2001:db8:0:0::/64"],
    ["2001:0db8:0000:0000:1:2:3:4", "2001:db8:0:0::/64"],
    ["2001:DB8:1:2:ffff::", "2001:db8:1:2::/64"],
    ["::1", "0:0:0:0::/64"],
  ])("counts %s as %s", (ip, address) => {
    expect(addressOf(ip)).toBe(address);
  });
});
