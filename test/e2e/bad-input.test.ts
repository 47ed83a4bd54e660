/** Bad input meets the edge first: a 4xx that says what is wrong and where, before anything is spent. */
import { randomBytes } from "node:crypto";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { beforeAll, expect, inject, test, vi } from "vitest";
import * as z from "zod";

const { url, apiKey } = inject("stack");
const ProblemSchema = z.looseObject({
  status: z.number(),
  code: z.string(),
  detail: z.string(),
  invalid_fields: z.array(z.object({ field: z.string(), description: z.string() })).optional(),
});
const headers = { authorization: `Bearer ${apiKey}`, "content-type": "application/json", prefer: "wait" };

const post = (model: string, body: string): Promise<Response> =>
  fetch(`${url}/v1/models/local/${model}/predictions`, { method: "POST", headers, body });

/** Runs it, and waits until the edge knows what its inputs are: only its process tells that. */
async function setUp(model: string): Promise<void> {
  expect((await post(model, JSON.stringify({ input: { text: "warm" } }))).status).toBe(201);
  const isRefused = async () => (await post(model, JSON.stringify({ input: {} }))).status === 422;
  await vi.waitUntil(isRefused, { timeout: 60_000, interval: 100 });
}
beforeAll(async () => {
  await Promise.all(["hello-world", "stream-words"].map(setUp));
});

/** The answer is a problem, and no prediction. */
async function refused(model: string, body: string) {
  const response = await post(model, body);
  const answer = await response.text();
  expect(answer).not.toContain('"id"');
  expect(response.headers.get("location")).toBeNull();
  const problem = ProblemSchema.parse(JSON.parse(answer));
  expect(problem.status).toBe(response.status);
  return problem;
}

test.each([
  ["hello-world", { text: 7 }, "input.text"],
  ["hello-world", {}, "input.text"],
  ["hello-world", { text: null }, "input.text"],
  ["stream-words", { text: "a", delay_ms: "soon" }, "input.delay_ms"],
  ["stream-words", { text: "a", delay_ms: -1 }, "input.delay_ms"],
])("%s with %j is refused, and the field is named", async (model, input, field) => {
  const problem = await refused(model, JSON.stringify({ input }));
  expect(problem).toMatchObject({ status: 422, code: "invalid_input" });
  expect(problem.detail).toContain(field);
});

test.each(["NaN", "Infinity", "-Infinity"])("a body with %s is no JSON", async (number) => {
  const problem = await refused("stream-words", `{"input":{"text":"a","delay_ms":${number}}}`);
  expect(problem).toMatchObject({ status: 400, code: "invalid_json" });
});

test("a number beyond a double is refused, and the field is named", async () => {
  const problem = await refused("stream-words", '{"input":{"text":"a","delay_ms":1e999}}');
  expect(problem).toMatchObject({ status: 422, code: "invalid_input" });
  expect(problem.detail).toContain("input.delay_ms");
});

test("a string of 10 MB goes through whole; a body of 17 MB is refused", async () => {
  const text = "x".repeat(10_000_000);
  const response = await post("hello-world", JSON.stringify({ input: { text } }));
  const prediction = z.looseObject({ status: z.string(), output: z.unknown() }).parse(await response.json());
  expect(prediction.status).toBe("succeeded");
  expect(prediction.output === `hello ${text}`).toBe(true);
  const problem = await refused("hello-world", JSON.stringify({ input: { text: "x".repeat(17_000_000) } }));
  expect(problem).toMatchObject({ status: 413, code: "payload_too_large" });
});

test.each([
  ["gzip", gzipSync],
  ["deflate", deflateSync],
  ["br", brotliCompressSync],
])("a body in %s goes through whole, and one that decodes to 60 MB is refused", async (coding, encode) => {
  const send = (body: string) => {
    const coded = { ...headers, "content-encoding": coding };
    return fetch(`${url}/v1/models/local/hello-world/predictions`, {
      method: "POST",
      headers: coded,
      body: encode(body),
    });
  };
  const text = "naïve 🎉 ".repeat(1000);
  expect(await (await send(JSON.stringify({ input: { text } }))).json()).toMatchObject({
    status: "succeeded",
    output: `hello ${text}`,
  });
  const refusal = await send(JSON.stringify({ input: { text: "x".repeat(60_000_000) } }));
  expect(await refusal.json()).toMatchObject({ status: 413, code: "payload_too_large" });
});

test("a client that still sends a compressed body when that is refused sees the answer", async () => {
  const body = gzipSync(randomBytes(40_000_000), { level: 0 });
  const coded = { ...headers, "content-encoding": "gzip" };
  const refusal = await fetch(`${url}/v1/models/local/hello-world/predictions`, {
    method: "POST",
    headers: coded,
    body,
  });
  expect(await refusal.json()).toMatchObject({ status: 413, code: "payload_too_large" });
});

test("half of a surrogate pair is refused, and the field is named", async () => {
  const problem = await refused("hello-world", String.raw`{"input":{"text":"cut \ud83d"}}`);
  expect(problem).toMatchObject({ status: 422, code: "invalid_input", invalid_fields: [{ field: "input.text" }] });
});
