/**
 * What HTTP promises beside the calls themselves: CORS, OPTIONS, HEAD, Retry-After, and headers that no stranger
 * writes.
 */
import { beforeAll, describe, expect, it } from "vitest";
import { EdgeplaneError, errorTable } from "../contract/errors.ts";
import type { ErrorCode } from "../contract/errors.ts";
import { call, callJson, FakePool, newKey, offer, testEnv } from "../../test/worker/edge-harness.ts";

const KAFKA_USERS = JSON.stringify([{ username: "http", password: "http-password", produce: ["*"], consume: ["*"] }]);
const kafkaAuth = { authorization: `Basic ${btoa("http:http-password")}` };
let key = "";
let finished = "";
let waiting = "";
let file = "";
let download = "";

beforeAll(async () => {
  key = await newKey("http");
  await offer({ name: "http" });
  const create = async () =>
    String((await callJson("/v1/models/acme/http/predictions", { key, body: { input: {}, stream: true } })).body["id"]);
  [finished, waiting] = [await create(), await create()];
  await (await FakePool.open()).run(finished, "done");
  const stored = await callJson("/v1/files?name=a.txt", {
    key,
    body: new TextEncoder().encode("content"),
    headers: { "content-type": "text/html", "content-length": "7" },
  });
  file = String(stored.body["id"]);
  const link = new URL((stored.body["urls"] as { get: string }).get);
  download = link.pathname + link.search;
});

/** What clients send from browsers: all that the API reads. */
const requestHeaders =
  "authorization,content-type,prefer,cancel-after,idempotency-key,last-event-id,traceparent,x-request-id,range,if-range,if-none-match";

describe("CORS", () => {
  it.each(["GET", "POST", "PUT", "PATCH", "DELETE", "QUERY"])(
    "lets pages of any origin call with %s",
    async (method) => {
      for (const path of ["/v1/predictions", `/v1/predictions/${finished}`, "/v1/files", "/v1/nothing"]) {
        const preflight = await call(path, {
          method: "OPTIONS",
          headers: {
            origin: "https://page.example",
            "access-control-request-method": method,
            "access-control-request-headers": requestHeaders,
          },
        });
        expect(preflight.status).toBe(204);
        expect(preflight.headers.get("access-control-allow-methods")?.split(",")).toContain(method);
        expect(preflight.headers.get("access-control-allow-headers")).toBe(requestHeaders);
        expect(preflight.headers.get("vary")).toContain("access-control-request-headers");
        expect(preflight.headers.get("access-control-allow-credentials")).toBeNull();
      }
    },
  );

  it("lets them read answers and refusals, with the headers that tell something, and never with cookies", async () => {
    const headers = { origin: "https://page.example", cookie: "session=1" };
    for (const [path, status] of [
      ["/v1/account", 200],
      ["/v1/predictions/nothing", 404],
      ["/v1/nothing", 404],
      ["/v1/predictions?limit=0", 400],
      [download, 200],
      [`/v1/predictions/${finished}/stream`, 200],
    ] as const) {
      const answer = await call(path, { key, headers });
      expect([path, answer.status]).toEqual([path, status]);
      expect([path, answer.headers.get("access-control-allow-origin")]).toEqual([path, "*"]);
      expect([path, answer.headers.get("x-request-id")]).toEqual([path, expect.stringMatching(/^[\w-]{8,}$/)]);
      expect(answer.headers.get("access-control-allow-credentials")).toBeNull();
      expect(answer.headers.get("set-cookie")).toBeNull();
      for (const name of ["retry-after", "x-request-id", "location", "etag", "content-range"])
        expect(answer.headers.get("access-control-expose-headers")?.split(",")).toContain(name);
      await answer.body?.cancel();
    }
    for (const path of ["/v1/account", "/openapi.json"])
      expect((await call(path, { headers })).headers.get("access-control-allow-origin")).toBe("*");
  });

  it("keeps pages away from what operators, pools and the log's users call", async () => {
    for (const path of ["/admin/v1/keys", "/pool/v1/claims", "/kafka/topics"]) {
      const headers = { origin: "https://page.example", "access-control-request-method": "POST" };
      for (const method of ["OPTIONS", "POST"]) {
        const answer = await call(path, { method, headers, env: { KAFKA_USERS } });
        expect(answer.headers.get("access-control-allow-origin")).toBeNull();
      }
    }
  });
});

describe("OPTIONS", () => {
  it("tells what an address takes, without a key", async () => {
    const answer = await call(`/v1/predictions/${finished}`, { method: "OPTIONS" });
    expect([answer.status, await answer.text()]).toEqual([204, ""]);
    expect(answer.headers.get("allow")?.split(", ")).toEqual(expect.arrayContaining(["GET", "PUT", "HEAD", "OPTIONS"]));
    expect((await call("/nothing", { method: "OPTIONS" })).status).toBe(404);
  });
});

describe("HEAD", () => {
  it("answers as GET does, without the body", async () => {
    const paths = [
      "/",
      "/healthz",
      "/v1/account",
      "/v1/predictions",
      `/v1/predictions/${finished}`,
      "/v1/models/acme/http",
    ];
    paths.push(
      `/v1/files/${file}`,
      download,
      `/v1/predictions/${finished}/stream`,
      "/v1/predictions/nothing",
      "/nothing",
    );
    for (const path of paths) {
      const [get, head] = [await call(path, { key }), await call(path, { key, method: "HEAD" })];
      await get.text();
      expect([path, head.status, await head.text()]).toEqual([path, get.status, ""]);
      for (const name of [
        "content-type",
        "etag",
        "access-control-allow-origin",
        "content-disposition",
        "accept-ranges",
      ])
        expect([path, name, head.headers.get(name)]).toEqual([path, name, get.headers.get(name)]);
    }
  });

  it("holds nothing and reads no stream", async () => {
    for (const path of [`/v1/predictions/${waiting}`, `/v1/predictions/${waiting}/stream`]) {
      // What is held takes a second each time; on a busy machine one of several is quick.
      let leastMs = Infinity;
      for (let tries = 0; tries < 5 && leastMs >= 800; tries += 1) {
        const from = Date.now();
        expect((await call(path, { key, method: "HEAD" })).status).toBe(200);
        leastMs = Math.min(leastMs, Date.now() - from);
      }
      expect(leastMs, path).toBeLessThan(800);
    }
  });
});

describe("Retry-After", () => {
  const codes = Object.keys(errorTable) as ErrorCode[];
  it.each(codes)("goes with %s if another try may do better", (code) => {
    const { status } = errorTable[code];
    expect(new EdgeplaneError(code, "").retryAfterS).toBe(status === 429 || status === 503 ? 1 : null);
    expect(new EdgeplaneError(code, "", { retryAfterMs: 4200 }).retryAfterS).toBe(5);
  });

  it("comes from every door when objects are overloaded", async () => {
    const overloaded = Object.assign(new Error("overloaded"), { overloaded: true });
    const refuse = new Proxy({}, { get: () => () => Promise.reject(overloaded) });
    const namespace = { getByName: () => refuse } as never;
    const env = { SHARD: namespace, INDEX: namespace, LOG: namespace, KAFKA_USERS };
    for (const [path, headers] of [
      ["/v1/predictions", { authorization: `Bearer ${key}` }],
      ["/kafka/topics", kafkaAuth],
    ] as const) {
      const answer = await call(path, { headers, env });
      // Two seconds, half of them earlier or later, rounded up: callers that were refused together come back apart.
      expect([path, answer.status, answer.headers.get("retry-after")]).toEqual([
        path,
        503,
        expect.stringMatching(/^[1-3]$/),
      ]);
    }
  });
});

describe("answers' headers", () => {
  it("hold nothing that a stranger wrote", async () => {
    const evil = "evil%0d%0aset-cookie:%20a=1";
    const raw = "evil\tset-cookie: a=1";
    const headers = {
      "x-request-id": raw,
      "idempotency-key": raw,
      traceparent: raw,
      prefer: raw,
      origin: `https://${raw}`,
    };
    const paths = [
      `/v1/predictions/${evil}`,
      `/v1/files/${evil}`,
      `/${evil}`,
      `/v1/predictions?cursor=${evil}`,
      `${download}&name=${evil}`,
    ];
    for (const path of paths) {
      const answer = await call(path, { key, headers });
      await answer.body?.cancel();
      const lines = [...answer.headers]
        .filter(([name]) => name !== "content-disposition")
        .map((pair) => pair.join(": "));
      expect(lines.filter((line) => /evil|set-cookie/i.test(line))).toEqual([]);
      expect(answer.headers.get("content-disposition") ?? "").not.toMatch(/[\r\n]|"[^"]*"[^;]*"/);
    }
    const made = await call("/v1/models/acme/http/predictions", {
      key,
      headers: { ...headers, prefer: "respond-async" },
      body: { input: {} },
    });
    expect([...made.headers].map((pair) => pair.join(": ")).filter((line) => line.includes("evil"))).toEqual([]);
  });

  it("make files harmless to a browser: an attachment in a sandbox, never sniffed", async () => {
    const answer = await call(download);
    expect(answer.headers.get("content-security-policy")).toContain("sandbox");
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
    expect(answer.headers.get("content-disposition")).toMatch(/^attachment/);
    await answer.body?.cancel();
    expect(testEnv.EDGEPLANE_SECRET).not.toBe("");
  });
});
