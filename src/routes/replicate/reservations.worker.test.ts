/** What plugins reserve for a prediction goes back once, whatever becomes of it. */
import { expect, it, vi } from "vitest";
import { call, callJson, FakePool, newKey, offer, testEnv } from "../../../test/worker/edge-harness.ts";
import type { Env } from "../../env.ts";
import { PATIENCE } from "../../../test/patience.ts";

const MODEL = "acme/reserved";

/** A gateway that lets an account have so many predictions at a time, and none whose input says so. */
async function gateway(limit: number) {
  const name = crypto.randomUUID();
  const getByName = () => testEnv.SETTINGS.getByName(name);
  const env: Partial<Env> = { SETTINGS: { getByName } as unknown as Env["SETTINGS"] };
  const plugins = {
    "api-key": {},
    "rate-limit": { config: { limits: [{ name: "at-once", per: "account", of: "concurrency", limit }] } },
    "prompt-guard": { config: { forbidden: ["forbidden"] } },
  };
  const operator = testEnv.ADMIN_KEY ?? "";
  const body = { settings: { plugins }, why: "a test" };
  const { status } = await callJson("/admin/v1/settings", { key: operator, env, body });
  expect(status).toBe(201);
  const key = await newKey(`account-${name.slice(0, 8)}`);
  await offer({ name: "reserved" });
  const create = async (input: object, idempotencyKey?: string) => {
    const headers = idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey };
    const answer = await callJson("/v1/predictions", { key, env, headers, body: { version: MODEL, input } });
    return { status: answer.status, id: String(answer.body["id"]), code: answer.body["code"], headers: answer.headers };
  };
  const cancel = (id: string) => call(`/v1/predictions/${id}/cancel`, { method: "POST", key, env });
  return { create, cancel };
}

/** One more fits, once what was reserved is back. */
async function expectRoom(create: (input: object) => Promise<{ status: number; id: string }>): Promise<string> {
  return vi.waitFor(
    async () => {
      const { status, id } = await create({ text: "one more" });
      expect(status).toBe(201);
      return id;
    },
    { timeout: 15_000, interval: 50 },
  );
}

it("goes back when the prediction ends: canceled, succeeded, failed", async () => {
  const { create, cancel } = await gateway(1);
  const first = await create({ text: "a" });
  expect(first.status).toBe(201);
  expect(await create({ text: "b" })).toMatchObject({ status: 429, code: "account_limit_reached" });
  await cancel(first.id);
  const second = await expectRoom(create);
  const pool = await FakePool.open();
  await pool.run(second, "done");
  const third = await expectRoom(create);
  const error = { code: "model_error", message: "no" };
  await pool.send(await pool.claim(third), { type: "failed", kind: "model", error });
  await expectRoom(create);
  expect((await create({ text: "c" })).status).toBe(429);
});

it("goes back when a plugin behind refuses", async () => {
  const { create } = await gateway(1);
  for (let count = 0; count < 3; count += 1) {
    await vi.waitFor(async () => {
      const refused = await create({ forbidden: true });
      expect(refused).toMatchObject({ status: 422, code: "invalid_input" });
    }, PATIENCE);
  }
  await expectRoom(create);
});

it("is held once by a request that comes again with its key, which is answered however full it is", async () => {
  const { create } = await gateway(1);
  const first = await create({ text: "a" }, "the same");
  for (let count = 0; count < 3; count += 1) {
    const again = await create({ text: "a" }, "the same");
    expect([again.status, again.id, again.headers.get("idempotent-replayed")]).toEqual([201, first.id, "true"]);
  }
  expect((await create({ text: "b" })).status).toBe(429);
});
