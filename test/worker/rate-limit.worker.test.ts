/** The plugin `rate-limit` over the allowance objects. */
import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { aCall } from "../../plugins/kernel/conformance.ts";
import type { Judgement, PredictionCall, Reservation } from "../../plugins/kernel/phases.ts";
import type { ReservationEnd } from "../../plugins/kernel/reservations.ts";
import { buildSnapshot } from "../../plugins/kernel/snapshot.ts";
import { rateLimit } from "../../plugins/rate-limit/rate-limit.ts";
import { allowanceService } from "../../src/allowance/isolate-service.ts";
import type { Env } from "../../src/env.ts";
import { createServices } from "../../src/settings/services.ts";

const edge = env as Env;
/** Longer than any test takes. */
const windowMs = 366 * 86_400_000;
let accounts = 0;

async function limited(...limits: object[]) {
  const config = { limits: limits.map((limit, index) => ({ name: `n${index}`, ...limit })) };
  const snapshot = await buildSnapshot(1, [rateLimit], { "rate-limit": { config } }, createServices(edge));
  const [hook] = snapshot.hooks.admit;
  if (hook === undefined) throw new Error("there is no hook");
  const call = aCall();
  const principal = { ...call.principal, accountId: `account-${(accounts += 1)}` };
  return async (more: Partial<PredictionCall> = {}): Promise<Judgement> => hook.run({ ...call, principal, ...more });
}

function reservationOf(judgement: Judgement): Reservation {
  if (judgement.verdict === "continue" && judgement.reservation !== undefined) return judgement.reservation;
  throw new Error(`not reserved: ${judgement.verdict}`);
}

async function end(judgement: Judgement, how: Partial<ReservationEnd>): Promise<void> {
  const { predictionId, model, principal } = aCall();
  const known = { predictionId, model, accountId: principal.accountId, plugin: "rate-limit" };
  const usual = { how: "settle", status: "succeeded", attempt: 1, cost: 1, costNano: 0, metrics: {} } as const;
  await allowanceService(edge).end([{ ...reservationOf(judgement), ...known, ...usual, ...how }]);
}

const passed = (all: Judgement[]) => all.filter(({ verdict }) => verdict === "continue").length;

it("lets exactly 100 of 200 clients at once through a fixed window of 100", async () => {
  const admit = await limited({ per: "key", limit: 100, algorithm: "fixed-window", windowMs });
  expect(passed(await Promise.all(Array.from({ length: 200 }, () => admit())))).toBe(100);
});

it("charges none of its limits when one refuses, over several objects", async () => {
  const admit = await limited(
    { per: "key", limit: 100, algorithm: "fixed-window", windowMs },
    { per: "account", of: "bytes", limit: 1000, algorithm: "fixed-window", windowMs },
    { per: "ip", limit: 3, algorithm: "fixed-window", windowMs },
  );
  const calls = (clientIp: string) => Array.from({ length: 20 }, () => admit({ clientIp, inputBytes: 10 }));
  expect(passed(await Promise.all(calls("192.0.2.77")))).toBe(3);
  expect(await admit({ clientIp: null, inputBytes: 10 })).toMatchObject({
    headers: { ratelimit: expect.stringMatching(/^"n0";r=96;t=\d+, "n1";r=960;t=\d+$/) as string },
  });
});

it("gives back by how the prediction ended, each once", async () => {
  const admit = await limited(
    { per: "account", limit: 10, algorithm: "fixed-window", windowMs },
    { per: "account", of: "cost", limit: 100, algorithm: "fixed-window", windowMs },
    { per: "account", of: "concurrency", limit: 5 },
  );
  const left = async (): Promise<string> => {
    const probe = await admit({ cost: 0 });
    const headers = probe.verdict === "continue" ? (probe.headers ?? {}) : {};
    return ["requests", "cost", "concurrency"].map((unit) => headers[`x-ratelimit-remaining-${unit}`]).join(" ");
  };
  const [ran, refused, neverRan] = [await admit({ cost: 20 }), await admit({ cost: 30 }), await admit({ cost: 40 })];
  expect(await left()).toBe("6 10 1");
  const ends = [1, 2].flatMap(() => [
    end(ran, { cost: 15 }),
    end(refused, { how: "release", status: null }),
    end(neverRan, { how: "release", status: "canceled", attempt: 0, cost: 40 }),
  ]);
  await Promise.all(ends);
  expect(await left()).toBe("6 85 3");
});

it("knows limits of 0 and of 10^12, and refuses an amount that is larger than its limit for good", async () => {
  const closed = await limited({ per: "key", limit: 0 });
  expect(await closed()).toMatchObject({ verdict: "reject", code: "above_limit" });
  const small = await limited({ per: "key", of: "bytes", limit: 5 });
  expect(await small({ inputBytes: 6 })).toMatchObject({ verdict: "reject", code: "above_limit" });
  const wide = await limited({ per: "key", of: "bytes", limit: 1e12, algorithm: "fixed-window", windowMs });
  expect(passed([await wide({ inputBytes: 1e12 - 1 }), await wide({ inputBytes: 1 })])).toBe(2);
  expect(await wide({ inputBytes: 1 })).toMatchObject({ verdict: "reject", code: "key_limit_reached" });
});

it("can't be set up over a Redis that isn't there", async () => {
  const config = { limits: [{ name: "n", per: "key", limit: 1 }], store: "redis" };
  const built = buildSnapshot(1, [rateLimit], { "rate-limit": { config } }, createServices(edge));
  await expect(built).rejects.toThrow("KV_REST_URL");
});
