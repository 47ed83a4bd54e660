/** The stack as it comes: webhooks reach public addresses only, and no process of it logs a prompt or a secret. */
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { helloThrough } from "../../scripts/lib/hello.ts";
import { startStack } from "../../scripts/lib/stack.ts";
import type { Stack } from "../../scripts/lib/stack.ts";
import { createWebhookReceiver } from "./webhook-receiver.ts";
import type { WebhookReceiver } from "./webhook-receiver.ts";

const stateDir = mkdtempSync(join(tmpdir(), "edgeplane-default-"));
const models = join(stateDir, "models");
const lines: string[] = [];
let stack: Stack;
let receiver: WebhookReceiver;

beforeAll(async () => {
  receiver = await createWebhookReceiver();
  cpSync(join(import.meta.dirname, "../../examples/hello-world"), join(models, "hello-world"), { recursive: true });
  cpSync(join(import.meta.dirname, "models/told"), join(models, "told"), { recursive: true });
  const operatorOrigins = [new URL(receiver.url).origin];
  stack = await startStack({ stateDir, models, operatorOrigins, say: (line) => lines.push(line) });
  await helloThrough(stack);
});
afterAll(async () => {
  receiver.close();
  await stack.stop();
  rmSync(stateDir, { recursive: true, force: true });
});

function create(body: object): Promise<Response> {
  return fetch(`${stack.url}/v1/models/local/hello-world/predictions`, {
    method: "POST",
    headers: { authorization: `Bearer ${stack.apiKey}`, "content-type": "application/json", prefer: "wait" },
    body: JSON.stringify({ input: { text: "x" }, webhook_events_filter: ["completed"], ...body }),
  });
}

test.each(["127.0.0.1", "[::1]", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "localhost"])(
  "a webhook to %s gets nothing",
  async (host) => {
    const target = new URL(receiver.url);
    const response = await create({ webhook: `http://${host}:${target.port}/hook` });
    expect(response.status === 201 || (response.status >= 400 && response.status < 500)).toBe(true);
    if (response.status === 201) {
      const { id } = (await response.json()) as { id: string };
      const log = () => send({ method: "GET", path: `/v1/predictions/${id}/webhooks` });
      // Tried, and told why that failed.
      await expect.poll(async () => (await log()).text).toMatch(/"error":"/);
    }
    expect(receiver.received).toEqual([]);
  },
);

test("the operator's own services are reached on any network, by calls that carry credentials", async () => {
  const moved = await fetch(`${stack.url}/admin/v1/log`, {
    method: "PUT",
    headers: { authorization: `Bearer ${stack.adminKey}` },
    body: JSON.stringify({ driver: "upstash", url: receiver.url, username: "edge", password: "edge-password" }),
  });
  expect(moved.status).toBe(422);
  expect(receiver.received.map(({ headers }) => headers["authorization"])).toContain(
    `Basic ${btoa("edge:edge-password")}`,
  );
});

/** Stands in every prompt, file, key and token that the test sends. */
const MARKER = "marker-7f3a91";

type Sent = { method?: string; path: string; body?: unknown; headers?: Record<string, string> };

async function send({ method = "POST", path, body, headers = {} }: Sent): Promise<{ status: number; text: string }> {
  const response = await fetch(`${stack.url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${stack.apiKey}`,
      "content-type": "application/json",
      prefer: "wait=20",
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  return { status: response.status, text: await response.text() };
}

const tell = (input: object, headers: Record<string, string> = {}, rest: object = {}) =>
  send({
    path: "/v1/models/local/told/predictions",
    body: { input: { text: `${MARKER} prompt`, ...input }, ...rest },
    headers,
  });

test("no log of any process holds a prompt, an output, a key, a token or a signature", async () => {
  const basic = (user: string, password: string) => ({ authorization: `Basic ${btoa(`${user}:${password}`)}` });
  const ended = await Promise.all([
    tell({}),
    tell({ text: MARKER.repeat(3000) }),
    tell({ end: "raises" }),
    tell({ end: "dies" }),
    tell({}, { accept: "text/event-stream" }),
    tell({}, { "idempotency-key": MARKER, "x-request-id": "quiet-logs" }),
  ]);
  expect(ended.map(({ text }) => text.includes(MARKER))).toEqual(ended.map(() => true));
  const streamed = JSON.parse(ended[0]?.text ?? "") as { urls: { stream: string } };
  const link = new URL(streamed.urls.stream);
  const secret = JSON.parse((await send({ method: "GET", path: "/v1/webhooks/default/secret" })).text) as {
    key: string;
  };
  await Promise.all([
    send({ method: "GET", path: link.pathname + link.search, headers: { authorization: "" } }),
    send({ method: "GET", path: `${link.pathname}?expires=1&signature=${MARKER}`, headers: { authorization: "" } }),
    send({ path: "/v1/predictions", body: `{"input": {"text": "${MARKER}` }),
    send({ path: "/v1/predictions", body: { version: MARKER, input: MARKER } }),
    tell({}, {}, { webhook: `https://receiver.invalid/${MARKER}` }),
    send({ path: "/v1/files?name=quiet.txt", body: MARKER, headers: { "content-type": "text/plain" } }),
    send({ path: "/v1/files", body: MARKER, headers: { "content-type": "multipart/form-data; boundary=b" } }),
    send({ method: "GET", path: "/v1/account", headers: { authorization: `Bearer ep_${MARKER}` } }),
    send({
      method: "GET",
      path: "/admin/v1/keys?account=local",
      headers: { authorization: `Bearer ${stack.adminKey}` },
    }),
    send({ method: "GET", path: "/admin/v1/keys", headers: { authorization: `Bearer ${MARKER}` } }),
    send({
      path: "/pool/v1/events",
      body: { session: MARKER, events: [{ type: MARKER }] },
      headers: { authorization: `Bearer ${stack.poolToken}` },
    }),
    send({
      path: "/kafka/produce",
      body: { topic: "quiet", value: MARKER },
      headers: basic(stack.kafka.username, stack.kafka.password),
    }),
    send({
      path: "/kafka/produce",
      body: `{"topic": "quiet", "value": "${MARKER}`,
      headers: basic(stack.kafka.username, stack.kafka.password),
    }),
    send({ method: "GET", path: "/kafka/topics", headers: basic("nobody", MARKER) }),
  ]);
  // What dies in the middle of its work says why.
  const cut = tell({}).catch(() => null);
  stack.killPool();
  stack.killWorkerd();
  await cut;
  await expect.poll(() => lines.some((line) => line.includes("edge │ back"))).toBe(true);
  await expect.poll(async () => (await tell({})).status, { timeout: 30_000 }).toBe(201);
  const saved = Object.values(
    JSON.parse(readFileSync(join(stateDir, "secrets.json"), "utf8")) as Record<string, unknown>,
  );
  const secrets = [
    MARKER,
    stack.apiKey,
    stack.adminKey,
    stack.poolToken,
    stack.kafka.password,
    secret.key,
    link.searchParams.get("signature"),
  ];
  const hidden = [...secrets, ...saved].filter((one): one is string => typeof one === "string" && one.length >= 8);
  expect(hidden.length).toBeGreaterThanOrEqual(secrets.length);
  expect(lines.length).toBeGreaterThan(5);
  expect(lines.filter((line) => hidden.some((one) => line.includes(one)))).toEqual([]);
});
