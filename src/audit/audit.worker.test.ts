/** The plugin `webhook-log`: what a consumer of the topic `audit` gets of requests and outputs. */
import { expect, it, vi } from "vitest";
import { call, callJson, FakePool, newKey, offer, testEnv } from "../../test/worker/edge-harness.ts";
import { AUDIT_TOPIC, AuditRecordSchema } from "../contract/published.ts";
import type { Env } from "../env.ts";
import { createLogClient } from "../log/client.ts";
import { signedHeaders } from "../webhooks/signature.ts";

const operator = testEnv.ADMIN_KEY ?? "";
const CARD = "4111 1111 1111 1111";

async function audited() {
  const log = createLogClient(testEnv);
  const known = (await log.topics())[AUDIT_TOPIC] ?? 0;
  if (known === 0) return [];
  const places = Array.from({ length: known }, (_, partition) => ({ topic: AUDIT_TOPIC, partition, offset: 0 }));
  const records = await log.fetch(places, 0);
  return records.map(({ value }) => AuditRecordSchema.parse(JSON.parse(value)));
}

it("tells refusals, masks, shadows and what broke, without a word of the text", async () => {
  const getByName = () => testEnv.SETTINGS.getByName("audited");
  const env: Partial<Env> = { SETTINGS: { getByName } as unknown as Env["SETTINGS"] };
  const plugins = {
    "api-key": {},
    "content-safety": { config: { patterns: { card: "mask", email: "block" } } },
    "prompt-guard": { shadow: true, config: { maxCharacters: 1 } },
    "webhook-log": {},
  };
  const publication = { settings: { plugins }, why: "a test" };
  expect((await callJson("/admin/v1/settings", { key: operator, env, body: publication })).status).toBe(201);
  const key = await newKey("audited");
  await offer({ name: "audited" });
  const create = (text: string) =>
    callJson("/v1/predictions", { key, env, body: { version: "acme/audited", input: { text } } });

  const refused = await create("write to bob@example.com");
  expect(refused.status).toBe(403);
  const accepted = await create(`my card is ${CARD}`);
  const id = String(accepted.body["id"]);
  const pool = await FakePool.open();
  const grant = await pool.claim(id);
  const event = { id, token: grant.token, seq: grant.seq, type: "succeeded", output: `it is ${CARD}` };
  await callJson("/pool/v1/events", { key: pool.key, env, body: { session: pool.session, events: [event] } });

  const toldSoon = (count: number) =>
    vi.waitFor(
      async () => {
        const records = await audited();
        expect(records).toHaveLength(count);
        return records;
      },
      { timeout: 10_000, interval: 50 },
    );
  const told = await toldSoon(5);
  const shown = told.map(({ plugin, phase, action, code }) => [plugin, phase, action, code].join(" "));
  expect(shown.toSorted()).toEqual(
    [
      "prompt-guard screenInput shadow invalid_input",
      "prompt-guard screenInput shadow invalid_input",
      "content-safety screenInput reject rejected_by_policy",
      "content-safety screenInput change ",
      "content-safety screenOutput change ",
    ].toSorted(),
  );
  const [account] = new Set(told.map((one) => one.account));
  for (const one of told) expect(one).toMatchObject({ account, settings: 1, model: "acme/audited" });
  const reject = told.find(({ action }) => action === "reject");
  expect(reject).toMatchObject({
    request: refused.headers.get("x-request-id"),
    credential: expect.any(String) as string,
    findings: [{ category: "email", rule: "email" }],
  });
  expect(told.filter(({ prediction }) => prediction === id)).toHaveLength(3);
  expect(JSON.stringify(told)).not.toMatch(/1111|bob@/);

  // A simulation is no event.
  const draft = { request: { account: "audited", input: { text: "bob@example.com" } } };
  expect((await callJson("/admin/v1/settings/simulate", { key: operator, env, body: draft })).status).toBe(200);
  await create("write to bob@example.com");
  await toldSoon(7);
  const now = vi.spyOn(Date, "now").mockReturnValue(Date.now() + 5000);
  await call("/v1/account", { key, env });
  now.mockRestore();
  const metrics = await (await call("/admin/v1/metrics", { key: operator, env })).text();
  expect(metrics).toContain('edgeplane_audit_events_total{outcome="published"} 7\n');
  expect(metrics).toContain('edgeplane_audit_events_total{outcome="dropped"} 0\n');
});

it("tells a receiver of the operator's, and is refused without the secret that signs", async () => {
  const getByName = () => testEnv.SETTINGS.getByName("audited by a receiver");
  const env = { SETTINGS: { getByName } as unknown as Env["SETTINGS"] };
  const url = "https://audit.example.com/events";
  const plugins = {
    "api-key": {},
    "prompt-guard": { config: { maxCharacters: 1 } },
    "webhook-log": { config: { topic: false, url, secret: "PLUGIN_AUDIT" } },
  };
  const body = { settings: { plugins }, why: "a test" };
  const refused = await callJson("/admin/v1/settings", { key: operator, env, body });
  expect([refused.status, refused.body["code"]]).toEqual([422, "plugin_invalid"]);
  expect(refused.body["detail"]).toContain("wrangler secret put PLUGIN_AUDIT");

  const secret = `whsec_${btoa("s".repeat(32))}`;
  const secrets = { PLUGIN_AUDIT: secret, PLUGIN_OTHER: `whsec_${btoa("o".repeat(32))}` };
  const signed = { ...env, ...secrets } as Partial<Env>;
  expect((await callJson("/admin/v1/settings", { key: operator, env: signed, body })).status).toBe(201);
  const sent: string[] = [];
  const signatures: Headers[] = [];
  vi.spyOn(globalThis, "fetch").mockImplementation(async (target, init) => {
    if (target === url) sent.push(String(init?.body));
    if (target === url) signatures.push(new Headers(init?.headers));
    return new Response(null, { status: 204 });
  });
  const key = await newKey("audited-by-receiver");
  await offer({ name: "audited" });
  const prediction = { version: "acme/audited", input: { text: "too long" } };
  const answer = await callJson("/v1/predictions", { key, env: signed, body: prediction });
  expect(answer.status).toBe(422);
  // Settings that are only tried don't change what signs.
  const others = { ...plugins, "webhook-log": { config: { topic: false, url, secret: "PLUGIN_OTHER" } } };
  const tried = { settings: { plugins: others }, why: "a test", dry_run: true };
  expect((await callJson("/admin/v1/settings", { key: operator, env: signed, body: tried })).status).toBe(200);
  expect((await callJson("/v1/predictions", { key, env: signed, body: prediction })).status).toBe(422);
  await vi.waitFor(() => expect(sent.join().split("invalid_input")).toHaveLength(3), {
    timeout: 10_000,
    interval: 50,
  });
  vi.restoreAllMocks();
  for (const [nth, headers] of signatures.entries()) {
    const [id, at] = [headers.get("webhook-id") ?? "", Number(headers.get("webhook-timestamp"))];
    const { "webhook-signature": expected } = await signedHeaders(id, at, sent[nth] ?? "", [secret]);
    expect(headers.get("webhook-signature")).toBe(expected);
  }
  const { events } = JSON.parse(sent[0] ?? "") as { events: unknown[] };
  const [event] = events.map((one) => AuditRecordSchema.parse(one));
  expect(event).toMatchObject({
    plugin: "prompt-guard",
    action: "reject",
    code: "invalid_input",
    model: "acme/audited",
  });
});
