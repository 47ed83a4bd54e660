/** A gateway whose models have prices, with what tests of budgets do to it. */
import { expect, vi } from "vitest";
import type { PoolEvent } from "../../src/contract/event.ts";
import type { Env } from "../../src/env.ts";
import { callJson, FakePool, newKey, offer, testEnv } from "./edge-harness.ts";

export const MODEL = "acme/priced";
export const MILLION = 1_000_000;
export const operator = testEnv.ADMIN_KEY ?? "";

/** Models and a pool that all gateways have. */
const common = Promise.all([FakePool.open(["default"], 4), offer({ name: "priced" }), offer({ name: "free" })]).then(
  ([pool]) => pool,
);

/** A gateway with settings of its own, where a second of `acme/priced` costs so much. */
export async function pricedGateway(perSecondNano: number, more: { plugins?: object; price?: object } = {}) {
  const name = crypto.randomUUID();
  const getByName = () => testEnv.SETTINGS.getByName(name);
  const env: Partial<Env> = { SETTINGS: { getByName } as unknown as Env["SETTINGS"] };
  const publish = async (nano: number) => {
    const price = { per_second_nano: { "*": nano }, ...more.price };
    const prices = { currency: "USD", models: { [MODEL]: price } };
    const settings = { plugins: { "api-key": {}, budget: {}, ...more.plugins }, prices };
    const { status } = await callJson("/admin/v1/settings", { key: operator, env, body: { settings, why: "a test" } });
    expect(status).toBe(201);
  };
  await publish(perSecondNano);
  const account = `account-${name.slice(0, 8)}`;
  const key = await newKey(account);
  const pool = await common;
  const create = async (
    init: { key?: string; model?: string; headers?: Record<string, string>; input?: object } = {},
  ) => {
    const { model = MODEL, headers = {}, input = { text: "a" } } = init;
    const answer = await callJson("/v1/predictions", {
      key: init.key ?? key,
      env,
      headers,
      body: { version: model, input },
    });
    return { ...answer, id: String(answer.body["id"]), code: answer.body["code"], cost: answer.body["cost"] };
  };
  const operate = (path: string, method = "GET", body?: object, headers: Record<string, string> = {}) =>
    callJson(`/admin/v1${path}`, { key: operator, env, method, headers, ...(body === undefined ? {} : { body }) });
  const read = async (id: string) => (await callJson(`/v1/predictions/${id}`, { key, env })).body;
  const run = async (id: string, seconds: number, end: Partial<PoolEvent> = { type: "succeeded", output: "done" }) => {
    // The edge believes in no more than the second that its grace is, of each device.
    const usage = { device: "cpu", devices: 4, queuedMs: 0, runMs: 1, gpuUs: seconds * MILLION, units: { tokens: 9 } };
    await pool.send(await pool.claim(id), { ...end, usage });
  };
  const budget = async (of = `account/${account}`, by: string = key) => {
    const { body } = await callJson("/v1/budgets", { key: by, env });
    const found = (
      body["results"] as { scope: string; spent_nano: number; reserved_nano: number; left_nano: number }[]
    ).find(({ scope }) => of.startsWith(scope));
    return found === undefined ? null : [found.spent_nano, found.reserved_nano, found.left_nano];
  };
  /** Waits until what ended is settled. */
  const expectBudget = (numbers: number[], of?: string) =>
    vi.waitFor(async () => expect(await budget(of)).toEqual(numbers), { timeout: 15_000, interval: 50 });
  return { env, account, key, pool, publish, create, operate, read, run, budget, expectBudget };
}
