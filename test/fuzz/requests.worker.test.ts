/**
 * Hostile requests through the whole Worker, with its real objects: each is answered, never as a failure of ours, and
 * refusals say why.
 */
import fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import { errorTable } from "../../src/contract/errors.ts";
import { PROPERTY_SEED } from "../property-seed.ts";
import { admin, call, callJson, FakePool, newKey, offer, testEnv } from "../worker/edge-harness.ts";
import { hostileJsonText, hostileText, nearly } from "./hostile.ts";

const REQUESTS = 1500;
const SLICES = 3;
const KAFKA = { username: "fuzz", password: "fuzz-password", produce: ["*"], consume: ["*"], create: true };
const KAFKA_USERS = JSON.stringify([KAFKA]);

const known = { key: "", pool: "", id: "" };

beforeAll(async () => {
  known.key = await newKey("fuzz");
  known.pool = String((await admin("/pool-tokens", { lanes: ["default"], may_register_models: true }))["token"]);
  const schema = {
    components: { schemas: { Input: { properties: { text: { type: "string", pattern: "^(a+)+$" } } } } },
  };
  await offer({ name: "fuzzed", schema });
  const made = await callJson("/v1/models/acme/fuzzed/predictions", {
    key: known.key,
    body: { input: { text: "aa" }, stream: true, webhook: "https://example.com/hook" },
  });
  known.id = String(made.body["id"]);
  await (await FakePool.open()).run(known.id, "done");
});

const samples: readonly unknown[] = [
  {
    version: "acme/fuzzed",
    input: { text: "aaa" },
    webhook: "https://example.com/hook",
    timeout: "5m",
    priority: "low",
  },
  { model: "acme/fuzzed", input: {}, start_timeout: 60, webhook_events_filter: ["start"], stream: false },
  { name: "acme", scopes: ["predictions:read"], account: "fuzz", lanes: ["default"] },
  { session: "session-1", jobs: [{ id: "0".repeat(26), epoch: 0, startNow: true }], events: [] },
  { session: "session-1", events: [{ id: "0".repeat(26), token: "f".repeat(32), seq: 0, type: "output", chunk: "x" }] },
  {
    topic: "fuzz",
    value: "x",
    key: "k",
    partition: 0,
    offset: 0,
    headers: [{ key: "a", value: "b" }],
    topics: ["fuzz"],
  },
  [{ topic: "fuzz", partition: 0, offset: 1 }],
];

/** What a call is meant to be; the method is another one at times. */
const routes = `
  GET / | GET /healthz | GET /v1 | GET /v1/account | GET /v1/hardware | GET /v1/webhooks/default/secret | POST /v1/webhooks/default/secret
  GET /v1/trainings | GET /openapi.json | GET /docs | POST /v1/predictions | POST /v1/predictions | PUT /v1/predictions/@ | PUT /v1/predictions/@
  GET /v1/predictions?limit=@&cursor=@ | GET /v1/predictions?created_after=@&created_before=@ | GET /v1/predictions/@ | POST /v1/predictions/@/cancel
  GET /v1/predictions/@/stream | GET /v1/predictions/@/stream?expires=@&signature=@ | DELETE /v1/predictions/@
  GET /v1/predictions/@/webhooks | POST /v1/predictions/@/webhooks/@/redeliver | GET /v1/models?query=@&cursor=@ | QUERY /v1/models | GET /v1/models/@/@
  POST /v1/models/acme/fuzzed/predictions | POST /v1/models/acme/fuzzed/predictions | POST /v1/models/@/@/versions/@/predictions
  GET /v1/models/acme/fuzzed/versions?cursor=@ | GET /v1/models/acme/fuzzed/versions/@ | POST /v1/models | PATCH /v1/models/@/@ | DELETE /v1/models/@/@
  GET /v1/deployments | POST /v1/deployments | PATCH /v1/deployments/@/@ | POST /v1/deployments/@/@/predictions | GET /v1/models/@/@/openapi.json
  GET /v1/files?cursor=@ | POST /v1/files | POST /v1/files | GET /v1/files/@ | DELETE /v1/files/@ | GET /v1/files/@/download?expires=@&signature=@&name=@
  GET /v1/outputs/@/@/@?expires=@&signature=@ | POST /pool/v1/claims | POST /pool/v1/events | GET /pool/v1/connect?session=@
  GET /pool/v1/blobs/@/@/@ | PUT /pool/v1/blobs/@/@/@ | GET /pool/v1/models/@/@/versions/@ | POST /admin/v1/accounts | GET /admin/v1/keys?account=@
  POST /admin/v1/keys | POST /admin/v1/pool-tokens | DELETE /admin/v1/keys/@ | GET /admin/v1/@ | POST /kafka/produce | POST /kafka/produce
  POST /kafka/produce/@ | GET /kafka/produce/@/@ | POST /kafka/consume/@/@ | GET /kafka/consume/@/@/@ | POST /kafka/commit/@/@ | POST /kafka/fetch
  POST /kafka/offsets/@ | POST /kafka/committed/@/@ | GET /kafka/topics | GET /kafka/consumers | POST /kafka/webhook?topic=@ | GET /kafka/@
`
  .trim()
  .split(/ *[|\n] */)
  .map((route) => route.trim().split(" ") as [method: string, path: string]);

const values = nearly(
  fc.constantFrom("id", "acme", "fuzzed", "a".repeat(64), "2026-01-01T00:00:00Z", "1800000000", "5", "latest"),
);
const headerNames = [
  ...[
    "prefer",
    "cancel-after",
    "idempotency-key",
    "last-event-id",
    "traceparent",
    "x-request-id",
    "accept",
    "content-type",
    "range",
  ],
  ...[
    "if-none-match",
    "origin",
    "access-control-request-method",
    "access-control-request-headers",
    "edgeplane-room",
    "edgeplane-claim",
  ],
  ...[
    "kafka-auto-offset-reset",
    "kafka-session-timeout-ms",
    "edgeplane-broker",
    "edgeplane-session",
    "upgrade",
    "accept-encoding",
  ],
];

const requests = fc.record({
  route: fc.constantFrom(...routes),
  otherMethod: fc.oneof(
    { weight: 6, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.constantFrom("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "QUERY") },
  ),
  fill: fc.array(fc.oneof({ weight: 3, arbitrary: values }, { weight: 1, arbitrary: fc.constant("%id%") }), {
    minLength: 4,
    maxLength: 4,
  }),
  encoded: fc.boolean(),
  headers: fc.dictionary(
    fc.constantFrom(...headerNames),
    nearly(fc.constantFrom("5", "wait=0", "30s", "text/event-stream", "bytes=0-1")),
    { maxKeys: 3 },
  ),
  body: fc.oneof(hostileJsonText(samples), fc.constant(null)),
  form: fc.option(fc.record({ name: hostileText, type: hostileText, metadata: hostileText }), { freq: 4 }),
  keyed: fc.integer({ min: 0, max: 5 }).map((dice) => dice > 0),
});
type Hostile = typeof requests extends fc.Arbitrary<infer T> ? T : never;

function credential(path: string, keyed: boolean): Record<string, string> {
  if (!keyed) return {};
  if (path.startsWith("/kafka")) return { authorization: `Basic ${btoa(`${KAFKA.username}:${KAFKA.password}`)}` };
  const key = path.startsWith("/pool") ? known.pool : path.startsWith("/admin") ? testEnv.ADMIN_KEY : known.key;
  return { authorization: `Bearer ${key}` };
}

function methodOf({ route: [method], otherMethod }: Hostile): string {
  return otherMethod ?? method;
}

function pathOf({ route: [, route], fill, encoded }: Hostile): string {
  let place = 0;
  const path = route.replaceAll("@", () => {
    const value = (fill[place++] ?? "").replaceAll("%id%", known.id).slice(0, 3000);
    return encoded ? encodeURIComponent(value.toWellFormed()) : value.toWellFormed().replaceAll(/[#?]/g, "");
  });
  return path.startsWith("/kafka") ? `${path}${path.includes("?") ? "&" : "?"}timeout=0` : path;
}

/** Those that would be held for seconds, as they ask to be, are left out. */
function asksToWait({ headers, body }: Hostile): boolean {
  return (
    /wait\s*(?:=\s*"?[1-9]|$|[,;])/i.test(headers["prefer"] ?? "") ||
    ((body ?? "").includes('"timeout":') && !(body ?? "").includes('"timeout":"5m"'))
  );
}

async function send(one: Hostile): Promise<Response | null> {
  const path = pathOf(one);
  const headers: Record<string, string> = { ...credential(path, one.keyed) };
  for (const [name, value] of Object.entries(one.headers))
    headers[name] = value
      .replaceAll(/[^\x20-\x7e]/g, "~")
      .trim()
      .slice(0, 4000);
  const method = methodOf(one);
  const hasBody = !["GET", "HEAD", "OPTIONS"].includes(method);
  let body: string | Uint8Array | undefined = hasBody && one.body !== null ? one.body : undefined;
  if (hasBody && one.form !== null && path.startsWith("/v1/files")) {
    const { name, type, metadata } = one.form;
    const quoted = (text: string) => text.toWellFormed().replaceAll(/["\r\n]/g, "%22");
    body = new TextEncoder().encode(
      `--b\r\ncontent-disposition: form-data; name="content"; filename="${quoted(name)}"\r\ncontent-type: ${type.replaceAll(/[\r\n]/g, " ")}\r\n\r\nx\r\n` +
        `--b\r\ncontent-disposition: form-data; name="metadata"\r\n\r\n${metadata.toWellFormed()}\r\n--b--\r\n`,
    );
    headers["content-type"] = "multipart/form-data; boundary=b";
    headers["content-length"] = String(body.byteLength);
  }
  if (!URL.canParse(`https://edge.test${path}`)) return null;
  return call(path, { method, headers, env: { KAFKA_USERS }, ...(body === undefined ? {} : { body }) });
}

/** 501 is the answer of calls that are not offered. */
function isTame(status: number): boolean {
  return status < 500 || status === 501;
}

async function check(one: Hostile): Promise<void> {
  if (asksToWait(one)) return;
  const response = await send(one);
  if (response === null) return;
  const { status } = response;
  if (status < 400 || methodOf(one) === "HEAD") {
    expect(isTame(status)).toBe(true);
    await response.body?.cancel();
    const [link] = status === 201 && one.form !== null ? await downloads() : [];
    if (link !== undefined) expect((await call(link)).status).toBe(200);
    return;
  }
  const answer = await response.json<Record<string, unknown>>();
  expect(isTame(status), JSON.stringify(answer)).toBe(true);
  expect(answer["status"]).toBe(status);
  expect(Object.keys(errorTable)).toContain(answer["code"]);
  if (pathOf(one).startsWith("/kafka")) return;
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  expect(answer).toMatchObject({
    title: expect.any(String) as string,
    detail: expect.any(String) as string,
    request_id: expect.any(String) as string,
  });
}

/** The links of the newest file: what was stored must be served. */
async function downloads(): Promise<string[]> {
  const { body } = await callJson("/v1/files", { key: known.key });
  return (body["results"] as { urls: { get: string } }[]).slice(0, 1).map(({ urls }) => urls.get);
}

test.each(Array.from({ length: SLICES }, (_, slice) => PROPERTY_SEED + slice))(
  "hostile requests are answered (seed %i)",
  async (own) => {
    await fc.assert(fc.asyncProperty(requests, check), { numRuns: REQUESTS / SLICES, seed: own, endOnFailure: false });
  },
);
