/** Half surrogate pairs: refused where a client sends one, U+FFFD where a model made one. */
import { beforeAll, expect, it } from "vitest";
import { admin, call, callJson, FakePool, newKey, offer, testEnv } from "../../test/worker/edge-harness.ts";

const VERSION = "9".repeat(64);
/** As JSON text has it. */
const HALF = String.raw`cut \ud83d`;
const WHOLE = "cut \ufffd";
let key = "";
let pool: FakePool;

beforeAll(async () => {
  key = await newKey("halves");
  pool = await FakePool.open();
  await offer({ owner: "halves", name: "halves", version: VERSION });
});

it.each([
  ["POST", "/v1/predictions", `{"version":"${VERSION}","input":{"text":"${HALF}"}}`, "input.text"],
  ["POST", "/v1/predictions", `{"version":"${VERSION}","input":{"list":["a",{"${HALF}":1}]}}`, `input.list.1.${WHOLE}`],
  ["POST", "/v1/predictions", `{"version":"${VERSION}","input":{},"webhook":"https://a.test/${HALF}"}`, "webhook"],
  ["PUT", "/v1/predictions/own-id", `{"version":"${VERSION}","input":{"text":"${HALF}"}}`, "input.text"],
  ["POST", "/v1/uploads", `{"name":"${HALF}","size":10}`, "name"],
  ["POST", "/v1/uploads", `{"name":"a","size":10,"metadata":{"a":"${HALF}"}}`, "metadata.a"],
  ["PATCH", "/v1/models/halves/halves", `{"description":"${HALF}"}`, "description"],
  ["POST", "/v1/deployments", `{"name":"${HALF}"}`, "name"],
  ["POST", "/admin/v1/accounts", `{"name":"${HALF}"}`, "name"],
])("is refused in %s %s %s", async (method, path, body, field) => {
  const credential = path.startsWith("/admin") ? (testEnv.ADMIN_KEY ?? "") : key;
  const answer = await callJson(path, { method, key: credential, body });
  expect(answer.body).toMatchObject({ status: 422, code: "invalid_input", invalid_fields: [{ field }] });
  expect(answer.body["detail"]).toContain("half a surrogate pair");
});

it("is refused in the metadata of a form", async () => {
  const form = new FormData();
  form.append("content", new Blob(["x"]), "x.txt");
  form.append("metadata", `{"of":"${HALF}"}`);
  const encoded = new Response(form);
  const headers = { "content-type": encoded.headers.get("content-type") ?? "" };
  const answer = await callJson("/v1/files", { key, headers, body: new Uint8Array(await encoded.arrayBuffer()) });
  expect(answer.body).toMatchObject({ status: 422, invalid_fields: [{ field: "metadata.of" }] });
});

it("is no half where both halves are escaped", async () => {
  const body = `{"version":"${VERSION}","input":{"text":"\\ud83d\\ude00"}}`;
  const answer = await callJson("/v1/predictions", { method: "POST", key, body });
  expect([answer.status, answer.body["input"]]).toEqual([201, { text: "😀" }]);
});

it("is U+FFFD in what a model puts out, and so in answers, lists, streams", async () => {
  const create = async () =>
    String(
      (await callJson("/v1/predictions", { key, body: { version: VERSION, input: {}, stream: true } })).body["id"],
    );
  const [id, failed] = [await create(), await create()];
  const half = "cut \ud83d";
  const grant = await pool.claim(id);
  await pool.send(
    grant,
    { type: "output", chunk: half },
    { type: "log", text: half },
    { type: "metric", metrics: { [half]: half } },
  );
  const running = await (await call(`/v1/predictions/${id}`, { key })).text();
  await pool.send(grant, { type: "succeeded", output: [half], metrics: { seen: half } });
  const error = { code: "model_error", message: half };
  await pool.send(await pool.claim(failed), { type: "failed", kind: "model", error });
  const ended = (await callJson(`/v1/predictions/${id}`, { key })).body;
  expect(ended).toMatchObject({ output: [WHOLE], logs: WHOLE, metrics: { [WHOLE]: WHOLE, seen: WHOLE } });
  expect((await callJson(`/v1/predictions/${failed}`, { key })).body["error"]).toBe(WHOLE);
  const texts = [
    running,
    ...(await Promise.all(
      [`/${id}`, `/${id}/stream`, ""].map(async (path) => (await call(`/v1/predictions${path}`, { key })).text()),
    )),
  ];
  for (const text of texts) expect(text).not.toMatch(/\\u[dD][89a-fA-F]/);
});

it.each([10, 400_000])("is U+FFFD in an output that is stored apart, with %i characters", async (length) => {
  const { body } = await callJson("/v1/predictions", { key, body: { version: VERSION, input: {} } });
  const grant = await pool.claim(String(body["id"]));
  const path = `/pool/v1/blobs/${grant.id}/${grant.token}/output.json`;
  const blob = `["${HALF}","${"x".repeat(length)}"]`;
  const headers = { "content-length": String(blob.length) };
  const stored = await callJson(path, { method: "PUT", key: pool.key, body: blob, headers });
  await pool.send(grant, { type: "succeeded", outputBlob: String(stored.body["key"]) });
  expect((await callJson(`/v1/predictions/${grant.id}`, { key })).body["output"]).toEqual([WHOLE, "x".repeat(length)]);
});

it("leaves no half in an error that quotes a cut text", async () => {
  for (let filler = 0; filler < 40; filler += 1) {
    const body = `{${"x".repeat(filler)}${"😀".repeat(200)}`;
    expect(await (await call("/v1/predictions", { method: "POST", key, body })).text()).not.toMatch(
      /\\u[dD][89a-fA-F]/,
    );
  }
});

it("is U+FFFD in what a pool says of its models", async () => {
  const { token } = await admin("/pool-tokens", { lanes: ["default"], may_register_models: true });
  const session = "session-halves";
  const headers = { upgrade: "websocket" };
  const { webSocket } = await call(`/pool/v1/connect?session=${session}`, { key: String(token), headers });
  if (webSocket === null) throw new Error("no socket came back");
  webSocket.accept();
  const pool = { pool: "host", version: "0", lanes: ["default"], devices: [] };
  const model = { owner: "local", name: "told-by-half", version: VERSION, description: "cut \ud83d" };
  webSocket.send(JSON.stringify({ type: "hello", protocol: 2, session, ...pool, models: [model] }));
  const described = async () => (await callJson("/v1/models/local/told-by-half", { key })).body["description"];
  await expect.poll(described).toBe(WHOLE);
  webSocket.close();
});
