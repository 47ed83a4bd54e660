/** Request bodies that come compressed, through the routes that read them. */
import { brotliCompressSync, constants, deflateSync, gzipSync } from "node:zlib";
import { beforeAll, describe, expect, it } from "vitest";
import { call, callJson, FakePool, newKey, offer, ORIGIN, testEnv } from "../../test/worker/edge-harness.ts";
import { createExecutionContext } from "cloudflare:test";
import worker from "../index.ts";

const VERSION = "e".repeat(64);
const fast = { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } };
const codings: [string, (bytes: Uint8Array) => Uint8Array][] = [
  ["gzip", (bytes) => new Uint8Array(gzipSync(bytes))],
  ["x-gzip", (bytes) => new Uint8Array(gzipSync(bytes))],
  ["deflate", (bytes) => new Uint8Array(deflateSync(bytes))],
  ["br", (bytes) => new Uint8Array(brotliCompressSync(bytes, fast))],
];
let key = "";

beforeAll(async () => {
  key = await newKey("coded");
  await offer({ name: "coded", version: VERSION });
});

const bytesOf = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const create = { version: VERSION, input: { text: "Ada 🎉", long: "a long text ".repeat(5000) } };
const coded = (coding: string, body: Uint8Array, headers: Record<string, string> = {}) => ({
  key,
  body,
  headers: { "content-encoding": coding, ...headers },
});

/** Posts a body that comes a little at a time; answers how many bytes of it were asked for. */
async function postSlowly(path: string, body: Uint8Array, headers: Record<string, string>, pieceBytes = 512) {
  let taken = 0;
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (taken >= body.length) return controller.close();
      controller.enqueue(body.slice(taken, taken + pieceBytes));
      taken += pieceBytes;
    },
  });
  const request = new Request(`${ORIGIN}${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, ...headers },
    body: stream,
  });
  const answer = await worker.fetch(request, testEnv, createExecutionContext());
  return { status: answer.status, body: await answer.json(), taken: Math.min(taken, body.length) };
}

describe.each(codings)("a body in %s", (coding, encode) => {
  it("is read as if it had come plain", async () => {
    const { status, body } = await callJson("/v1/predictions", coded(coding, encode(bytesOf(create))));
    expect([status, body["input"]]).toEqual([201, create.input]);
  });

  it("is refused early where it decodes to more than a plain one may have", async () => {
    const bomb = encode(new Uint8Array(80_000_000));
    const { status, body, taken } = await postSlowly("/v1/predictions", bomb, { "content-encoding": coding });
    expect([status, body]).toEqual([413, expect.objectContaining({ code: "payload_too_large" })]);
    expect(taken).toBeLessThan(bomb.length / 2);
  });

  it("is refused where it is broken, or breaks off", async () => {
    const whole = encode(bytesOf(create));
    for (const body of [new Uint8Array([1, 2, 3, 4]), whole.subarray(0, whole.length - 10)]) {
      const answer = await callJson("/v1/predictions", coded(coding, body));
      expect([answer.status, answer.body["code"]]).toEqual([400, "invalid_request"]);
      expect(answer.body["detail"]).toMatch(/can't be decoded as (?:gzip|deflate|br)/);
    }
  });

  it("may hold what hardly gets smaller, and come in pieces of megabytes", async () => {
    const random = Array.from({ length: 60 }, () =>
      btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(60_000)))),
    ).join("");
    const body = bytesOf({ ...create, input: { random } });
    expect((await callJson("/v1/predictions", coded(coding, encode(body)))).status).toBe(201);
    expect((await postSlowly("/v1/predictions", encode(body), { "content-encoding": coding }, 2_000_000)).status).toBe(
      201,
    );
  });

  it("may be a form", async () => {
    const form = new FormData();
    form.append("content", new Blob(["some content ".repeat(1000)], { type: "text/plain" }), "some.txt");
    const plain = new Response(form);
    const type = { "content-type": plain.headers.get("content-type") ?? "" };
    const body = encode(new Uint8Array(await plain.arrayBuffer()));
    const answer = await callJson("/v1/files", coded(coding, body, type));
    expect([answer.status, answer.body["name"], answer.body["size"]]).toEqual([201, "some.txt", 13_000]);
    const { urls } = answer.body as { urls: { get: string } };
    expect(await (await call(urls.get)).text()).toBe("some content ".repeat(1000));
  });
});

it("is refused early where it goes on and decodes to nothing", async () => {
  const nothing = gzipSync("");
  const body = new Uint8Array(nothing.length * 200_000);
  for (let at = 0; at < body.length; at += nothing.length) body.set(nothing, at);
  const { status, taken } = await postSlowly("/v1/predictions", body, { "content-encoding": "gzip" });
  expect(status).toBe(400);
  expect(taken).toBeLessThan(body.length / 2);
});

it("counts a form by what it decodes to", async () => {
  const form = new FormData();
  form.append("content", new Blob([new Uint8Array(105_000_000)]), "zeros.bin");
  const plain = new Response(form);
  const headers = { "content-type": plain.headers.get("content-type") ?? "", "content-encoding": "gzip" };
  const body = new Uint8Array(gzipSync(new Uint8Array(await plain.arrayBuffer()), { level: 1 }));
  expect((await postSlowly("/v1/files", body, headers)).status).toBe(413);
});

it.each(["x-unknown", "zstd", "gzip, gzip", "gzip, br"])("refuses `Content-Encoding: %s` with 415", async (coding) => {
  const answer = await callJson("/v1/predictions", coded(coding, bytesOf(create)));
  expect(answer.body).toMatchObject({ status: 415, code: "unsupported_encoding" });
  expect(answer.headers.get("accept-encoding")).toBe("gzip, deflate, br");
});

it("takes `identity` and an empty name for none", async () => {
  for (const coding of ["identity", ""]) {
    expect((await callJson("/v1/predictions", coded(coding, bytesOf(create)))).status).toBe(201);
  }
});

it("is decoded for operators, pools and the log, too", async () => {
  const gzip = (value: unknown) => new Uint8Array(gzipSync(JSON.stringify(value)));
  const post = (path: string, credential: string, value: unknown) =>
    callJson(path, { key: credential, body: gzip(value), headers: { "content-encoding": "gzip" } });
  expect((await post("/admin/v1/accounts", testEnv.ADMIN_KEY ?? "", { name: "coded-account" })).status).toBe(201);
  const pool = await FakePool.open();
  expect((await post("/pool/v1/events", pool.key, { session: pool.session, events: [] })).body["verdicts"]).toEqual([]);
  const env = { KAFKA_USERS: JSON.stringify([{ username: "u", password: "a-long-password", produce: [""] }]) };
  const produce = async (coding: string, value: string) => {
    const headers = { authorization: `Basic ${btoa("u:a-long-password")}`, "content-encoding": coding };
    return (await callJson("/kafka/produce", { env, body: gzip({ topic: "absent", value }), headers })).body["code"];
  };
  expect(await produce("gzip", "hello")).toBe("topic_not_found");
  expect(await produce("gzip", "x".repeat(9_000_000))).toBe("payload_too_large");
  expect(await produce("x-unknown", "hello")).toBe("unsupported_encoding");
});

it("is refused where its size must be known", async () => {
  const start = await callJson("/v1/uploads", { key, body: { name: "a.bin", size: 20 } });
  const path = `/v1/uploads/${String(start.body["id"])}/parts/1`;
  const answer = await callJson(path, { ...coded("gzip", new Uint8Array(gzipSync("x".repeat(20)))), method: "PUT" });
  expect([answer.status, answer.body["code"]]).toEqual([411, "length_required"]);
});
