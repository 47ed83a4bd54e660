/** What the operator says of API keys, and what their holders may then do. */
import { afterEach, beforeAll, expect, it, vi } from "vitest";
import { createKeyDirectory } from "../../registry/api-keys.ts";
import { sweepRevoked } from "../../registry/credentials.ts";
import { sha256Hex } from "../../../plugins/kernel/secret.ts";
import { admin, callJson, offer, testEnv } from "../../../test/worker/edge-harness.ts";

const KEYS = "/admin/v1/keys";
const operator = testEnv.ADMIN_KEY ?? "";
const version = "c".repeat(64);

beforeAll(async () => {
  await admin("/accounts", { name: "keyed" });
  for (const name of ["one", "two"]) await offer({ owner: "keyed", name, version });
});
afterEach(() => void vi.restoreAllMocks());

type Made = { id: string; key: string };
const make = async (rights: object = {}): Promise<Made> =>
  (await admin("/keys", { account: "keyed", ...rights })) as Made;
const change = (id: string, body: object) => callJson(`${KEYS}/${id}`, { method: "PATCH", key: operator, body });
const predict = async (key: string, name: string) =>
  callJson(`/v1/models/keyed/${name}/predictions`, { key, body: { input: {} } });
/** Who the store says that a key is: what an isolate knows after 10 s at the latest. */
const find = async ({ key }: Made) => createKeyDirectory(testEnv).find(await sha256Hex(key));

it("keeps a key to its models", async () => {
  const [one, all] = [await make({ models: ["keyed/one"] }), await make({ models: ["keyed/*"] })];
  expect((await predict(one.key, "one")).status).toBe(201);
  expect(await predict(one.key, "two")).toMatchObject({ status: 403, body: { code: "model_forbidden" } });
  const byVersion = await callJson("/v1/predictions", { key: one.key, body: { version: "keyed/two", input: {} } });
  expect(byVersion).toMatchObject({ status: 403, body: { code: "model_forbidden" } });
  expect((await predict(all.key, "two")).status).toBe(201);
  expect((await change(one.id, { models: null })).body).toMatchObject({ models: null });
  expect((await find(one))?.principal).not.toHaveProperty("models");
});

it("refuses a key from when it expires, and says when that is", async () => {
  const expiresAt = Date.now() + 60_000;
  const made = await make({ expires_at: new Date(expiresAt).toISOString() });
  expect(made).toMatchObject({ expires_at: new Date(expiresAt).toISOString() });
  expect(await find(made)).toMatchObject({ expiresAt });
  vi.spyOn(Date, "now").mockReturnValue(expiresAt);
  expect(await find(made)).toBeNull();
});

it("puts a key in another's place, which works on for a while", async () => {
  const old = await make({ models: ["keyed/one"], priority: "high", scopes: ["predictions:write"], name: "ci" });
  const before = Date.now();
  const { status, body } = await callJson(`${KEYS}/${old.id}/rotate`, { key: operator, body: { overlap_s: 3600 } });
  expect([status, body]).toMatchObject([
    201,
    { models: ["keyed/one"], priority: "high", scopes: ["predictions:write"], name: "ci", expires_at: null },
  ]);
  const [was, is] = [await find(old), await find(body as Made)];
  expect(is).toEqual({ principal: was?.principal, expiresAt: null });
  expect(is?.principal.credentialId).toBe(old.id);
  expect((was?.expiresAt ?? 0) - before).toBeGreaterThanOrEqual(3_600_000);
  expect((was?.expiresAt ?? Infinity) - Date.now()).toBeLessThanOrEqual(3_600_000);
  const again = await callJson(`${KEYS}/${String(body["id"])}/rotate`, { key: operator, body: { overlap_s: 0 } });
  expect((await find(again.body as Made))?.principal.credentialId).toBe(old.id);
  expect(await find(body as Made)).toBeNull();
});

it("makes no key that has expired already, and says what to do", async () => {
  for (const expires_at of ["2020-01-01T00:00:00Z", new Date().toISOString()]) {
    const { status, body } = await callJson(KEYS, { key: operator, body: { account: "keyed", expires_at } });
    expect([status, body]).toMatchObject([422, { code: "invalid_input", invalid_fields: [{ field: "expires_at" }] }]);
    expect(body["detail"]).toContain("name a time in the future");
  }
});

/** One whose time is over. */
async function expired(): Promise<Made> {
  const made = await make();
  await change(made.id, { expires_at: new Date(Date.now() - 1000).toISOString() });
  return made;
}

it("counts a key that has expired no longer, and rotates none that is gone", async () => {
  const made = await expired();
  expect((await callJson(`${KEYS}/${made.id}/rotate`, { key: operator, body: {} })).status).toBe(404);
  const count = async () =>
    testEnv.DB.prepare("SELECT sum(count) AS n FROM usage WHERE kind = 'keys'").first<number>("n");
  await sweepRevoked(testEnv, 1);
  const before = await count();
  await expired();
  expect(await count()).toBe((before ?? 0) + 1);
  await sweepRevoked(testEnv, 1);
  expect(await count()).toBe(before);
  const { body } = await callJson(`${KEYS}?account=keyed&revoked=true`, { key: operator });
  expect((body["results"] as { id: string }[]).map(({ id }) => id)).toContain(made.id);
  expect((await change(made.id, { priority: "high" })).status).toBe(404);
});

it.each([
  [{}, "nothing"],
  [{ models: [] }, "no model"],
  [{ models: ["keyed"] }, "no owner"],
  [{ models: ["*/one"] }, "any owner"],
  [{ models: ["keyed/o*"] }, "a part of a name"],
  [{ scopes: ["everything"] }, "an unknown scope"],
  [{ expires_at: "tomorrow" }, "no time"],
  [{ hash: "x" }, "an unknown field"],
] as [object, string][])("refuses to change a key by %j: %s", async (body, _why) => {
  const made = await make();
  expect((await change(made.id, body)).status).toBe(422);
});
