/** What bodies that are under way leave to others, through the routes that read them. */
import { createExecutionContext } from "cloudflare:test";
import { beforeAll, expect, it } from "vitest";
import { call, callJson, FakePool, newKey, offer, ORIGIN, testEnv } from "../../test/worker/edge-harness.ts";
import worker from "../index.ts";

const VERSION = "f".repeat(64);
const MIB = 2 ** 20;
const small = { version: VERSION, input: { text: "Ada" } };
let key = "";
let other = "";

beforeAll(async () => {
  [key, other] = [await newKey("heavy"), await newKey("light")];
  await offer({ name: "weighed", version: VERSION });
});

/** Begins a call whose body says that it has 16 MiB, and doesn't arrive; `breakOff` ends it. */
function begin(path: string, credential: string) {
  let breakOff = () => {};
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(new Uint8Array([0x7b]));
      breakOff = () => controller.error(new Error("the client has left"));
    },
  });
  const headers = { authorization: `Bearer ${credential}`, "content-length": String(16 * MIB) };
  const request = new Request(`${ORIGIN}${path}`, { method: "POST", headers, body });
  const answer = Promise.resolve(worker.fetch(request, testEnv, createExecutionContext()));
  return { answer, breakOff };
}

it("refuses an account's body that has no room beside its others, and no other account's", async () => {
  const open = [begin("/v1/predictions", key), begin("/v1/predictions", key)];
  const post = (credential: string) => callJson("/v1/predictions", { key: credential, body: small });
  await expect.poll(async () => (await post(key)).status).toBe(429);
  const refused = await post(key);
  expect(refused.body["code"]).toBe("too_many_bytes");
  expect(refused.body["detail"]).toContain("ACCOUNT_BODY_BYTES");
  expect(refused.headers.get("retry-after")).toBe("1");
  expect((await post(other)).status).toBe(201);
  const chunked = new Request(`${ORIGIN}/v1/predictions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}` },
    body: new Blob([JSON.stringify(small)]).stream(),
  });
  expect((await worker.fetch(chunked, testEnv, createExecutionContext())).status).toBe(429);
  for (const { breakOff } of open) breakOff();
  await Promise.all(open.map(({ answer }) => answer));
  expect((await post(key)).status).toBe(201);
});

it("counts a pool's bodies apart from every account's", async () => {
  const pool = await FakePool.open();
  const open = [begin("/pool/v1/events", pool.key), begin("/pool/v1/events", pool.key)];
  const heartbeat = () => call("/pool/v1/events", { key: pool.key, body: { session: pool.session, events: [] } });
  await expect.poll(async () => (await heartbeat()).status).toBe(429);
  expect((await callJson("/v1/predictions", { key, body: small })).status).toBe(201);
  for (const { breakOff } of open) breakOff();
  await Promise.all(open.map(({ answer }) => answer));
  expect((await heartbeat()).status).not.toBe(429);
});

it("counts answers that are not read, until they are or their reader has left", async () => {
  const pool = await FakePool.open();
  const { body } = await callJson("/v1/predictions", { key, body: small });
  const path = `/v1/predictions/${String(body["id"])}`;
  const output = "é🎉".repeat(40_000);
  await pool.run(String(body["id"]), output);
  const unread: Response[] = [];
  let last = await call(path, { key });
  while (last.status === 200 && unread.length < 1000) {
    unread.push(last);
    last = await call(path, { key });
  }
  expect([last.status, await last.json()]).toMatchObject([429, { code: "too_many_bytes" }]);
  expect(unread.length).toBeLessThan(300);
  expect((await call("/v1/predictions", { key: other })).status).toBe(200);
  const [read] = unread.splice(0, 1);
  expect(await read?.json()).toMatchObject({ output });
  for (const answer of unread) await answer.body?.cancel();
  await expect.poll(async () => (await callJson(path, { key })).status).toBe(200);
});

it("compresses an answer that is counted, for whoever takes that", async () => {
  const pool = await FakePool.open();
  const { body } = await callJson("/v1/predictions", { key, body: small });
  await pool.run(String(body["id"]), "x".repeat(100_000));
  const answer = await call(`/v1/predictions/${String(body["id"])}`, { key, headers: { "accept-encoding": "gzip" } });
  expect(answer.headers.get("content-encoding")).toBe("gzip");
  expect(answer.headers.get("vary")).toContain("accept-encoding");
  await answer.body?.cancel();
});

it("leaves uploads unread while their account's others fill its room, and takes them afterwards", async () => {
  const begun = Array.from({ length: 6 }, () => {
    const said = { isRead: false };
    const { readable: body, writable } = new IdentityTransformStream();
    const writer = writable.getWriter();
    const tell = (text: string) => writer.write(new TextEncoder().encode(text));
    const head = '--b\r\ncontent-disposition: form-data; name="content"; filename="f"\r\n\r\n';
    void tell(head).then(() => (said.isRead = true));
    const end = () => void tell("hello\r\n--b--\r\n").then(() => writer.close());
    const headers = { authorization: `Bearer ${key}`, "content-type": "multipart/form-data; boundary=b" };
    const request = new Request(`${ORIGIN}/v1/files`, { method: "POST", headers, body });
    const answer = Promise.resolve(worker.fetch(request, testEnv, createExecutionContext()));
    return { said, answer, end };
  });
  const read = () => begun.filter(({ said }) => said.isRead);
  await expect.poll(() => read().length).toBeGreaterThan(0);
  const form = new FormData();
  form.append("content", new Blob(["small"]), "small.txt");
  const small = { method: "POST", headers: { authorization: `Bearer ${other}` }, body: form };
  const others = await worker.fetch(new Request(`${ORIGIN}/v1/files`, small), testEnv, createExecutionContext());
  expect(others.status).toBe(201);
  expect(read()).toHaveLength(4);
  const waiting = begun.filter(({ said }) => !said.isRead);
  const done = read();
  for (const { end } of done) end();
  for (const { answer } of done) expect((await answer).status).toBe(201);
  await expect.poll(() => waiting.every(({ said }) => said.isRead)).toBe(true);
  for (const { end } of waiting) end();
  for (const { answer } of waiting) expect((await answer).status).toBe(201);
});
