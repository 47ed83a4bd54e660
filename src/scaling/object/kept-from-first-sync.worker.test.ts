/** What the operator keeps machines for, from a provider's first word on. */
import { expect, it } from "vitest";
import { admin, call, callJson, offer, testEnv } from "../../../test/worker/edge-harness.ts";
import { SyncReplySchema } from "../../contract/provider.ts";

const VERSION = "7".repeat(64);

it("is rented for at a provider's first sync, though no prediction of it ever came", async () => {
  await offer({ owner: "local", name: "kept", version: VERSION });
  const settings = { plugins: { "api-key": {} }, scaling: { models: { "local/kept": { min: 1 } } } };
  const body = { settings, why: "a test" };
  expect((await callJson("/admin/v1/settings", { key: testEnv.ADMIN_KEY ?? "", body })).status).toBe(201);

  const token = String((await admin("/provider-tokens", { providers: ["first"] }))["token"]);
  const price = { pricePerHourNano: 36_000_000_000, currency: "USD", billingIncrementS: 1 };
  const small = { id: "small", hardware: "cpu", devices: 1, ...price, spot: false, available: null };
  const seen = { protocol: 1, provider: "first", kind: "fake", offers: [small], machines: [], complete: true };
  const desired = async () =>
    SyncReplySchema.parse(await (await call("/provider/v1/sync", { key: token, body: seen })).json()).desired;
  await expect.poll(desired).toMatchObject([{ state: "running", hardware: "cpu" }]);
});
