/** Streams that can't go on: their readers take nothing, or they are refused, or what they tell is gone. */
import { createExecutionContext, runInDurableObject } from "cloudflare:test";
import { beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { call, callJson, FakePool, newKey, offer, readEvents, testEnv } from "../../../test/worker/edge-harness.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import { shardName, shardOf } from "../../contract/ids.ts";
import * as client from "../../shard/client.ts";
import { PredictionShard } from "../../shard/shard.ts";
import { createApp } from "../create-app.ts";

const VERSION = "d".repeat(64);
let key = "";
let pool: FakePool;

type Created = { id: string; urls: { stream: string } };

async function create(): Promise<Created> {
  const answer = await callJson("/v1/predictions", { key, body: { version: VERSION, input: { text: "Ada" } } });
  expect(answer.status).toBe(201);
  return answer.body as Created;
}

beforeAll(async () => {
  key = await newKey("stream-ends");
  pool = await FakePool.open();
  await offer({ name: "stream-ends", version: VERSION, streams: "concatenate" });
});

it("tells a reader that slept, and that its shard gave up, all of it once", async () => {
  const { id, urls } = await create();
  const response = await call(urls.stream);
  const grant = await pool.claim(id);
  const chunks = ["a", "b", "c", "d"].map((letter) => letter.repeat(300_000));
  for (const chunk of chunks) await pool.send(grant, { type: "output", chunk });
  const shard = testEnv.SHARD.getByName(shardName(shardOf(id)));
  const readers = (probes: number) =>
    runInDurableObject(shard, (object) => {
      if (!(object instanceof PredictionShard)) throw new Error("a shard is a PredictionShard");
      for (let count = 0; count < probes; count += 1) object.waiters.probe();
      return object.waiters.readers();
    });
  const open = await readers(0);
  expect(await readers(8)).toBeLessThan(open);
  await pool.send(grant, { type: "succeeded", output: chunks });
  const events = await readEvents(response);
  expect(events.map(({ event, data }) => [event, data.slice(0, 2)])).toEqual([
    ["output", "aa"],
    ["output", "bb"],
    ["output", "cc"],
    ["output", "dd"],
    ["done", "{}"],
  ]);
});

it("breaks off where it can't go on: a client would take an end without the last event for the whole", async () => {
  const { id } = await create();
  let attaches = 0;
  const openStream: typeof client.openStream = async () => {
    attaches += 1;
    const text = `${JSON.stringify({ seq: 1, type: "output", index: 0, data: "Hello" })}\n`;
    return attaches === 1 ? new Response(text).body : null;
  };
  const headers = { authorization: `Bearer ${key}` };
  const request = new Request(`https://edge.test/v1/predictions/${id}/stream`, { headers });
  const response = await createApp({ ...client, openStream }).fetch(request, testEnv, createExecutionContext());
  await expect(response.text()).rejects.toThrow("ended early");
  expect(attaches).toBe(2);
});

describe("a reader that keeps its connection and takes nothing for two minutes", () => {
  it("is cut off, and lets go of the shard's frames, and not one that takes a piece a minute", async () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    onTestFinished(() => void vi.useRealTimers());
    const { id } = await create();
    const { promise: canceled, resolve } = Promise.withResolvers<string>();
    const frame = { seq: 1, type: "output", index: 0, data: "x".repeat(300_000) };
    const openStream: typeof client.openStream = async () =>
      new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(new TextEncoder().encode(`${JSON.stringify(frame)}\n`)),
        cancel: () => resolve("canceled"),
      });
    const headers = { authorization: `Bearer ${key}` };
    const request = new Request(`https://edge.test/v1/predictions/${id}/stream`, { headers });
    const response = await createApp({ ...client, openStream }).fetch(request, testEnv, createExecutionContext());
    const reader = (response.body as ReadableStream<Uint8Array>).getReader({ mode: "byob" });
    for (let minutes = 0; minutes < 4; minutes += 1) {
      const { value } = await reader.readAtLeast(60_000, new Uint8Array(60_000));
      expect(value).toHaveLength(60_000);
      vi.advanceTimersByTime(60_000);
    }
    vi.advanceTimersByTime(75_000);
    expect(await canceled).toBe("canceled");
    await expect(reader.read(new Uint8Array(10))).rejects.toThrow();
  });
});

describe("Cog's stream, refused as the account has too many", () => {
  it("leaves no prediction running that nobody can find, and one with a key to who comes back", async () => {
    const ids: string[] = [];
    const openStream: typeof client.openStream = (_env, id) => {
      ids.push(id);
      throw new EdgeplaneError("too_many_streams", "too many");
    };
    const app = createApp({ ...client, openStream });
    const post = (more: Record<string, string>) => {
      const headers = { authorization: `Bearer ${key}`, accept: "text/event-stream", ...more };
      const body = JSON.stringify({ version: VERSION, input: { text: "Ada" } });
      const request = new Request("https://edge.test/v1/predictions", { method: "POST", headers, body });
      return app.fetch(request, testEnv, createExecutionContext());
    };
    expect((await post({})).status).toBe(429);
    expect((await post({ "idempotency-key": "refused-stream" })).status).toBe(429);
    const statuses = ids.map(async (id) => (await callJson(`/v1/predictions/${id}`, { key })).body["status"]);
    expect(await Promise.all(statuses)).toEqual(["canceled", "starting"]);
  });
});
