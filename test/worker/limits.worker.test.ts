/** Limits as a client sees them, from the request to the end of its predictions. */
import { beforeAll, expect, it } from "vitest";
import { createAllowances } from "../../src/allowance/allowances.ts";
import { createObjectStore } from "../../src/allowance/object-store.ts";
import type { Charge } from "../../src/allowance/types.ts";
import type { Env } from "../../src/env.ts";
import { callJson, FakePool, newKey, offer, testEnv } from "./edge-harness.ts";

const version = "9".repeat(64);
/** Longer than any test takes. */
const window = { algorithm: "fixed-window" as const, windowMs: 366 * 86_400_000 };
let pool: FakePool;
beforeAll(async () => {
  pool = await FakePool.open();
  await offer({ owner: "limited", name: "model", version });
});

/** An account under limits of its own. */
async function limited(account: string, ...limits: object[]) {
  const getByName = () => testEnv.SETTINGS.getByName(`settings of ${account}`);
  const env = { SETTINGS: { getByName } as unknown as Env["SETTINGS"] };
  const config = { limits: limits.map((limit, index) => ({ name: `n${index}`, per: "account", ...limit })) };
  const settings = { plugins: { "api-key": {}, "rate-limit": { config } } };
  const operator = testEnv.ADMIN_KEY ?? "";
  const published = await callJson("/admin/v1/settings", { key: operator, env, body: { settings, why: "a test" } });
  if (published.status !== 201) throw new Error(JSON.stringify(published.body));
  const key = await newKey(account);
  return {
    create: (body: object = {}, headers: Record<string, string> = {}) =>
      callJson("/v1/predictions", { key, env, headers, body: { version, input: {}, ...body } }),
    cancel: (id: string) => callJson(`/v1/predictions/${id}/cancel`, { key, env, method: "POST" }),
  };
}

/** What is left of an account's limits. */
async function left(account: string, limits: { of: string; limit: number }[]): Promise<number[]> {
  const { body } = await callJson(`/admin/v1/keys?account=${account}`, { key: testEnv.ADMIN_KEY ?? "" });
  const [key] = body["results"] as { account_id: string }[];
  const charges = limits.map(({ of, limit }, index): Charge => {
    const spec = of === "concurrency" ? { algorithm: "concurrency" as const, limit } : { ...window, limit };
    const bucket = `n${index} ${of.charAt(0)} ${of === "concurrency" ? "c" : `f${window.windowMs}`} ${key?.account_id}`;
    return { subject: `account:${key?.account_id}`, bucket, unit: "cost", spec, amount: 0, held: true };
  });
  const probe = createAllowances(createObjectStore(testEnv.ALLOWANCE));
  return (await probe.reserve(crypto.randomUUID(), 0, charges)).states.map(({ remaining }) => remaining);
}

const idOf = ({ status, body }: { status: number; body: Record<string, unknown> }): string => {
  if (status !== 201) throw new Error(`not created: ${JSON.stringify(body)}`);
  return String(body["id"]);
};

it("tells what is left with every answer, and whose limit it was", async () => {
  const { create } = await limited("told", { limit: 2, ...window });
  const accepted = await create();
  expect([accepted.status, accepted.headers.get("x-ratelimit-remaining-requests")]).toEqual([201, "1"]);
  expect(accepted.headers.get("ratelimit")).toMatch(/^"n0";r=1;t=\d+$/);
  const exposed = accepted.headers.get("access-control-expose-headers")?.split(",");
  const told = [...accepted.headers.keys()].filter((name) => name.includes("ratelimit"));
  expect(told).toHaveLength(5);
  expect(exposed).toEqual(expect.arrayContaining(told));
  await create();
  const { status, body, headers } = await create();
  expect([status, body]).toMatchObject([429, { code: "account_limit_reached", status: 429 }]);
  expect(headers.get("content-type")).toBe("application/problem+json");
  expect(headers.get("ratelimit")).toMatch(/^"n0";r=0;t=\d+$/);
  expect(headers.get("ratelimit-policy")).toMatch(/^"n0";q=2;w=\d+$/);
  expect(Number(headers.get("retry-after"))).toBe(Number(/t=(\d+)/.exec(headers.get("ratelimit") ?? "")?.[1]));
});

it("gives back what is refused behind it, or was accepted before", async () => {
  const limits = [
    { of: "cost", limit: 1000, ...window },
    { of: "concurrency", limit: 2 },
  ];
  const { create } = await limited("refused", ...limits);
  const wrong = await Promise.all([1, 2, 3, 4].map(() => create({ webhook: "https://127.0.0.1/" })));
  expect(wrong.map(({ status }) => [422, 429].includes(status))).toEqual([true, true, true, true]);
  await expect.poll(async () => (await create({}, { "idempotency-key": "one" })).status).toBe(201);
  for (let again = 0; again < 4; again += 1) await create({}, { "idempotency-key": "one" });
  await expect.poll(async () => (await create({}, { "idempotency-key": "two" })).status).toBe(201);
  await expect.poll(async () => left("refused", limits)).toEqual([998, 0]);
  expect((await create()).body).toMatchObject({
    code: "account_limit_reached",
    detail: expect.stringMatching(/n1/) as string,
  });
});

it("adds up after predictions were canceled, ran, failed and were left alone", async () => {
  const limits = [
    { of: "cost", limit: 1000, ...window },
    { of: "concurrency", limit: 6 },
  ];
  const { create, cancel } = await limited("sums", ...limits);
  const [ran, failed, stopped, canceled] = await Promise.all([1, 2, 3, 4].map(async () => idOf(await create())));
  await pool.run(String(ran), "well");
  const error = { code: "model_error", message: "no" };
  await pool.send(await pool.claim(String(failed)), { type: "failed", kind: "model", error });
  await pool.claim(String(stopped));
  await cancel(String(stopped));
  await cancel(String(canceled));
  // Three have run and cost 1 each.
  await expect.poll(async () => left("sums", limits)).toEqual([1000 - 3, 6]);
});
