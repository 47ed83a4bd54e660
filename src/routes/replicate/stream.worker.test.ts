import { createExecutionContext } from "cloudflare:test";
import { beforeAll, describe, expect, it } from "vitest";
import { call, callJson, FakePool, newKey, offer, readEvents, testEnv } from "../../../test/worker/edge-harness.ts";
import type { Submission } from "../../shard/types.ts";
import * as client from "../../shard/client.ts";
import { createApp } from "../create-app.ts";

const VERSION = "c".repeat(64);
let key = "";
let pool: FakePool;

type Created = { id: string; urls: { stream: string } };

async function create(body: Record<string, unknown> = {}): Promise<Created> {
  const answer = await callJson("/v1/predictions", {
    key,
    body: { version: VERSION, input: { text: "Ada" }, ...body },
  });
  expect(answer.status).toBe(201);
  return answer.body as Created;
}

/** Runs a prediction that yields two chunks and prints a line. */
async function runStreaming(id: string): Promise<void> {
  const grant = await pool.claim(id);
  await pool.send(
    grant,
    { type: "output", chunk: "Hello" },
    { type: "log", text: "one\ntwo" },
    { type: "output", chunk: " Ada\n" },
  );
  await pool.send(grant, { type: "succeeded", output: ["Hello", " Ada\n"], metrics: { predict_time: 0.5 } });
}

beforeAll(async () => {
  key = await newKey("streamer");
  pool = await FakePool.open();
  await offer({ name: "streamer", version: VERSION, streams: "concatenate" });
});

describe("Replicate's stream", () => {
  it("comes by a signed link, without a key, while it runs", async () => {
    const { id, urls } = await create();
    const response = await call(urls.stream, { headers: { accept: "text/event-stream" } });
    expect(response.headers.get("content-type")).toContain("text/event-stream");
    const reading = readEvents(response);
    await runStreaming(id);
    expect((await reading).map(({ event, data }) => [event, data])).toEqual([
      ["output", "Hello"],
      ["logs", "one\ntwo"],
      ["output", " Ada\n"],
      ["done", "{}"],
    ]);
  });

  it("resumes behind the last event that was seen, and tells it all to whoever comes late", async () => {
    const { id, urls } = await create();
    await runStreaming(id);
    const all = await readEvents(await call(urls.stream));
    expect(
      all
        .filter(({ event }) => event === "output")
        .map(({ data }) => data)
        .join(""),
    ).toBe("Hello Ada\n");
    const [first] = all;
    const rest = await readEvents(await call(urls.stream, { headers: { "last-event-id": first?.id ?? "" } }));
    expect(rest).toEqual(all.slice(1));
  });

  it("says what is gone, and then how it ended", async () => {
    const { id, urls } = await create();
    await runStreaming(id);
    const [first] = await readEvents(await call(urls.stream));
    expect((await call(`/v1/predictions/${id}`, { method: "DELETE", key })).status).toBe(204);
    const resumed = await readEvents(await call(urls.stream, { headers: { "last-event-id": first?.id ?? "" } }));
    expect(resumed.map(({ event }) => event)).toEqual(["error", "done"]);
    expect(JSON.parse(resumed[0]?.data ?? "")).toMatchObject({ code: "not_found" });
    expect((await readEvents(await call(urls.stream))).map(({ event }) => event)).toEqual(["error", "done"]);
  });

  it("says to a reader of a run that was lost that it is gone, and tells the next one whole", async () => {
    const { id, urls } = await create();
    const leaving = await call(urls.stream);
    const lost = await pool.claim(id);
    await pool.send(lost, { type: "log", text: "one" }, { type: "log", text: "two" });
    await pool.send(lost, { type: "released", reason: "lost" });
    await leaving.body?.cancel();
    const next = await pool.claim(id);
    if (!next.startNow) await pool.send(next, { type: "starting" });
    await pool.send(next, { type: "output", chunk: "a" }, { type: "succeeded", output: ["a"] });
    const resumed = await readEvents(await call(urls.stream, { headers: { "last-event-id": "1" } }));
    expect(resumed.map(({ event, data }) => [event, event === "error" ? "" : data])).toEqual([
      ["error", ""],
      ["output", "a"],
      ["done", "{}"],
    ]);
  });

  it("comes by the id that the client gave with PUT", async () => {
    const path = `/v1/predictions/own-${crypto.randomUUID()}`;
    const body = { version: VERSION, input: { text: "Ada" } };
    await runStreaming(String((await callJson(path, { method: "PUT", key, body })).body["id"]));
    const events = await readEvents(await call(`${path}/stream`, { key }));
    expect(events.map(({ event }) => event)).toEqual(["output", "logs", "output", "done"]);
    expect((await call(`${path}/stream`, { key: await newKey("another-streamer") })).status).toBe(404);
    expect((await call(`${path}/stream`)).status).toBe(401);
  });

  it("comes by such an id that has the form of one of ours, too", async () => {
    const path = `/v1/predictions/00${"abcdefgh".repeat(3)}`;
    const body = { version: VERSION, input: { text: "Ada" } };
    const { id } = (await callJson(path, { method: "PUT", key, body })).body;
    await runStreaming(String(id));
    expect((await callJson(path, { key })).body["id"]).toBe(id);
    expect((await call(`${path}/stream`, { method: "HEAD", key })).status).toBe(200);
    expect((await readEvents(await call(`${path}/stream`, { key }))).map(({ event }) => event)).toContain("done");
    expect((await call(`${path}/stream`, { key: await newKey("third-streamer") })).status).toBe(404);
  });

  it("tells a failure, then that it is done", async () => {
    const { id, urls } = await create();
    const error = { code: "model_error", message: "no such text" };
    await pool.send(await pool.claim(id), { type: "failed", kind: "model", error });
    const events = await readEvents(await call(urls.stream));
    expect(events.map(({ event, data }) => [event, JSON.parse(data) as unknown])).toEqual([
      ["error", { detail: "no such text", code: "model_error" }],
      ["done", { reason: "error" }],
    ]);
  });

  it("tells a cancellation", async () => {
    const { id, urls } = await create();
    await call(`/v1/predictions/${id}/cancel`, { method: "POST", key });
    expect(await readEvents(await call(urls.stream))).toMatchObject([{ event: "done", data: '{"reason":"canceled"}' }]);
  });

  it("takes a key instead of the link, and neither another's link nor a broken or old one", async () => {
    const [mine, another] = [await create(), await create()];
    const query = new URL(mine.urls.stream).search;
    const flipped = mine.urls.stream.replace(/.$/, (last) => (last === "A" ? "E" : "A"));
    const old = mine.urls.stream.replace(/expires=\d+/, "expires=1000000000");
    expect((await call(`/v1/predictions/${another.id}/stream${query}`)).status).toBe(401);
    for (const link of [flipped, old]) expect((await call(link)).status).toBe(401);
    await call(`/v1/predictions/${mine.id}/cancel`, { method: "POST", key });
    expect((await call(`/v1/predictions/${mine.id}/stream`, { key })).status).toBe(200);
    expect((await callJson(mine.urls.stream, { headers: { "last-event-id": "x" } })).body["code"]).toBe(
      "invalid_request",
    );
  });

  it("attaches again when its shard goes away under it", async () => {
    const { id } = await create();
    await runStreaming(id);
    let attaches = 0;
    const openStream: typeof client.openStream = async (env, wanted, accountId, afterSeq) => {
      attaches += 1;
      const frames = await client.openStream(env, wanted, accountId, afterSeq);
      const text = await new Response(frames).text();
      const first = text.split("\n", 2).join("\n");
      const cut = attaches === 1;
      return new ReadableStream<Uint8Array>({
        start(controller) {
          controller.enqueue(new TextEncoder().encode(`${cut ? first : text}\n`));
          if (cut) controller.error(new Error("reset"));
          else controller.close();
        },
      });
    };
    const app = createApp({ ...client, openStream });
    const request = new Request(`https://edge.test/v1/predictions/${id}/stream`, {
      headers: { authorization: `Bearer ${key}` },
    });
    const events = await readEvents(await app.fetch(request, testEnv, createExecutionContext()));
    expect(attaches).toBe(2);
    expect(events.map(({ event }) => event).filter((event) => event !== "logs")).toEqual(["output", "output", "done"]);
  });
});

describe("an output that can't be read now", () => {
  const outputOf = async (content: string) => {
    const created = await create({ stream: true });
    const grant = await pool.claim(created.id);
    const headers = { "content-type": "application/json", "content-length": String(content.length) };
    const path = `/pool/v1/blobs/${created.id}/${grant.token}/output.json`;
    const { body } = await callJson(path, { method: "PUT", key: pool.key, headers, body: content });
    await pool.send(grant, { type: "log", text: "hm" }, { type: "succeeded", outputBlob: String(body["key"]) });
    return created;
  };

  it("is told once it can be, and nothing before it twice", async () => {
    const { urls } = await outputOf('"whole"');
    let failures = 1;
    const BLOBS = new Proxy(testEnv.BLOBS, {
      get: (bucket, name) => (key: string) =>
        name === "get" && (failures -= 1) >= 0 ? Promise.reject(new Error("R2 is away")) : bucket.get(key),
    });
    const events = await readEvents(await call(urls.stream, { env: { BLOBS } }));
    expect(events.map(({ event, data }) => [event, data])).toEqual([
      ["logs", "hm"],
      ["output", "whole"],
      ["done", "{}"],
    ]);
  });

  it("for it is no JSON counts as gone, in streams and answers", async () => {
    const { id, urls } = await outputOf("<html>");
    expect((await readEvents(await call(urls.stream))).map(({ event }) => event)).toEqual(["logs", "error", "done"]);
    const { status, body } = await callJson(`/v1/predictions/${id}`, { key });
    expect([status, body["status"], body["output"]]).toEqual([200, "succeeded", null]);
  });
});

describe("who sees no output", () => {
  it("changes nothing of the stream: a lost run still begins anew", async () => {
    const stranger = await newKey("stream-stranger");
    const { id, urls } = await create();
    const grant = await pool.claim(id);
    expect((await call(`/v1/predictions/${id}/stream`, { key: stranger })).status).toBe(404);
    for (const url of [`/v1/predictions/${id}/stream`, urls.stream])
      expect((await call(url, { key, method: "HEAD" })).status).toBe(200);
    await pool.send(grant, { type: "output", chunk: "a" });
    await pool.send(grant, { type: "released", reason: "lost" });
    expect((await callJson(`/v1/predictions/${id}`, { key })).body["status"]).toBe("starting");
  });
});

describe("a reader that leaves", () => {
  it("lets go of the shard's frames at once", async () => {
    const { id } = await create();
    const { promise: canceled, resolve } = Promise.withResolvers<string>();
    const openStream: typeof client.openStream = async () =>
      new ReadableStream<Uint8Array>({ cancel: () => resolve("canceled") });
    const app = createApp({ ...client, openStream });
    const leaving = new AbortController();
    const request = new Request(`https://edge.test/v1/predictions/${id}/stream`, {
      headers: { authorization: `Bearer ${key}` },
      signal: leaving.signal,
    });
    await app.fetch(request, testEnv, createExecutionContext());
    leaving.abort();
    expect(await canceled).toBe("canceled");
  });
});

describe("Cog's stream", () => {
  it("comes as the answer to the POST", async () => {
    const headers = { accept: "text/event-stream", "idempotency-key": "cog-stream" };
    const body = { version: VERSION, input: { text: "Ada" } };
    const response = await call("/v1/predictions", { key, headers, body });
    expect(response.status).toBe(200);
    const reading = readEvents(response);
    const again = await callJson("/v1/predictions", { key, headers: { "idempotency-key": "cog-stream" }, body });
    const id = String(again.body["id"]);
    const grant = await pool.claim(id);
    await pool.send(
      grant,
      { type: "output", chunk: "Hello" },
      { type: "metric", metrics: { tokens: 2 } },
      { type: "log", text: "hm" },
    );
    await pool.send(grant, { type: "output", chunk: " Ada" }, { type: "succeeded", output: ["Hello", " Ada"] });
    const events = (await reading).map(
      ({ event, data }) => [event, JSON.parse(data) as Record<string, unknown>] as const,
    );
    expect(events.slice(0, -1)).toEqual([
      ["start", { id, status: "processing" }],
      ["output", { chunk: "Hello", index: 0 }],
      ["metric", { name: "tokens", value: 2, mode: "replace" }],
      ["log", { source: "stdout", data: "hm" }],
      ["output", { chunk: " Ada", index: 1 }],
    ]);
    expect(events.at(-1)).toMatchObject(["completed", { id, status: "succeeded", output: ["Hello", " Ada"] }]);
  });
});

describe("Cog's stream, come back to", () => {
  it("goes on behind the last event, by the same PUT; the places of chunks count on", async () => {
    const id = `cog-${crypto.randomUUID()}`;
    const open = (lastId?: string) =>
      call(`/v1/predictions/${id}`, {
        key,
        method: "PUT",
        headers: { accept: "text/event-stream", ...(lastId === undefined ? {} : { "last-event-id": lastId }) },
        body: { version: VERSION, input: { text: "Ada" } },
      });
    const leaving = await open();
    await leaving.body?.cancel();
    await runStreaming(String((await callJson(`/v1/predictions/${id}`, { key })).body["id"]));
    const all = await readEvents(await open());
    expect(all.map(({ event }) => event)).toEqual(["start", "output", "log", "output", "completed"]);
    for (const [index, { id: lastId }] of all.entries())
      expect(await readEvents(await open(lastId))).toEqual(index === 4 ? all.slice(4) : all.slice(index + 1));
  });
});

describe("streams are offered", () => {
  it("by models that stream or never loaded, and by others when asked for", async () => {
    await offer({ name: "plain", version: "d".repeat(64), schema: { components: {} } });
    await offer({ name: "unloaded", version: "e".repeat(64) });
    const plain = (extra: Partial<Submission>) =>
      callJson("/v1/predictions", { key, body: { model: "acme/plain", input: {}, ...extra } });
    expect((await plain({})).body["urls"]).not.toHaveProperty("stream");
    const unloaded = await callJson("/v1/predictions", { key, body: { model: "acme/unloaded", input: {} } });
    expect(unloaded.body["urls"]).toHaveProperty("stream");
    expect((await plain({ stream: true })).body["urls"]).toHaveProperty("stream");
    expect((await create({ stream: false })).urls).not.toHaveProperty("stream");
  });

  it("with the whole output as one event where the model yields nothing", async () => {
    const answer = await callJson("/v1/predictions", { key, body: { model: "acme/plain", input: {}, stream: true } });
    const { id, urls } = answer.body as Created;
    await pool.run(id, { answer: 42 });
    expect((await readEvents(await call(urls.stream))).map(({ event, data }) => [event, data])).toEqual([
      ["output", '{"answer":42}'],
      ["done", "{}"],
    ]);
  });
});
