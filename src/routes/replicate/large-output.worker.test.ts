/**
 * Outputs of any size: answers and streams tell them piece by piece, and a stranger's blob can't say anything beside
 * its own value.
 */
import { beforeAll, expect, it, onTestFinished, vi } from "vitest";
import { call, callJson, FakePool, newKey, offer, readEvents, testEnv } from "../../../test/worker/edge-harness.ts";
import { outputBlobPrefix } from "../../storage/blobs.ts";
import { WHOLE_BYTES } from "./view.ts";

const VERSION = "d".repeat(64);
let key = "";
let pool: FakePool;

type Created = { id: string; urls: { stream: string } };

/** A prediction that has ended with `json` as its stored output. */
async function finished(json: string, input: unknown = { text: "Ada" }): Promise<Created> {
  const { body } = await callJson("/v1/predictions", { key, body: { version: VERSION, input } });
  const { id, urls } = body as Created;
  const grant = await pool.claim(id);
  const blob = `${outputBlobPrefix(id, grant.token)}output.json`;
  await testEnv.BLOBS.put(blob, json);
  await pool.send(grant, { type: "succeeded", outputBlob: blob });
  return { id, urls };
}

beforeAll(async () => {
  key = await newKey("large");
  pool = await FakePool.open();
  await offer({ name: "large", version: VERSION });
});

it.each([
  ["a list", Array.from({ length: 50_000 }, (_, index) => ({ index, text: "é 🎉\n" }))],
  ["a text", 'line one\r\nline "two" 🎉\n'.repeat(60_000)],
])("tells %s of megabytes in answers and streams", async (_what, output) => {
  const text = JSON.stringify(output, null, 2);
  expect(text.length).toBeGreaterThan(3 * WHOLE_BYTES);
  const { id, urls } = await finished(text);
  const got = await call(`/v1/predictions/${id}`, { key, headers: { "accept-encoding": "gzip" } });
  expect(got.headers.get("content-type")).toContain("application/json");
  const view = await got.json();
  expect(view).toMatchObject({ id, status: "succeeded", input: { text: "Ada" }, error: null });
  expect(view).toMatchObject({ output });
  const again = await callJson(`/v1/predictions/${id}/cancel`, { key, method: "POST" });
  expect(again.body).toEqual(view);

  const [told] = await readEvents(await call(urls.stream));
  const data = typeof output === "string" ? output.replaceAll("\r\n", "\n") : output;
  expect(told?.event).toBe("output");
  expect(typeof output === "string" ? told?.data : JSON.parse(told?.data ?? "")).toEqual(data);
});

it("breaks an answer off rather than tell what a stored output would say beside its value", async () => {
  const { id, urls } = await finished(`${JSON.stringify("x".repeat(WHOLE_BYTES))}, "status": "canceled"`);
  const got = await call(`/v1/predictions/${id}`, { key });
  await expect(got.text()).rejects.toThrow("no JSON");
  const told: string[] = [];
  const reading = async () => {
    const pieces = (await call(urls.stream)).body?.pipeThrough(new TextDecoderStream());
    for await (const piece of pieces ?? []) told.push(piece);
  };
  await expect(reading()).rejects.toThrow("ended early");
  expect(told.join("").length).toBeGreaterThan(WHOLE_BYTES);
  expect(told.join("")).not.toContain("canceled");
  expect(told.at(-1)?.endsWith("\n\n")).toBe(false);
});

it("gives an answer up that nobody takes anything of for two minutes", async () => {
  const { id } = await finished(JSON.stringify("x".repeat(8 * WHOLE_BYTES)));
  // From here on: the shard has timers of its own.
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
  let canceled = 0;
  const BLOBS = new Proxy(testEnv.BLOBS, {
    get: (bucket, name) => async (key: string) => {
      if (name !== "get") throw new Error("only read here");
      const object = await bucket.get(key);
      const reader = (object?.body as ReadableStream<Uint8Array> | undefined)?.getReader();
      const body = new ReadableStream<Uint8Array>({
        async pull(controller) {
          const { value } = (await reader?.read()) ?? {};
          if (value === undefined) controller.close();
          else controller.enqueue(value);
        },
        cancel: () => void (canceled += 1),
      });
      return { size: object?.size, body };
    },
  });
  const answer = await call(`/v1/predictions/${id}`, { key, env: { BLOBS } });
  const reader = (answer.body as ReadableStream<Uint8Array> | null)?.getReader();
  for (let minutes = 0; minutes < 4; minutes += 1) {
    expect((await reader?.read())?.value?.length).toBeGreaterThan(0);
    vi.advanceTimersByTime(60_000);
  }
  vi.advanceTimersByTime(61_000);
  await expect(reader?.read()).rejects.toThrow("nobody reads");
  vi.useRealTimers();
  // It was looked at first, for its size.
  await expect.poll(() => canceled).toBe(2);
});

it("shows a large output that is gone as null", async () => {
  const { id } = await finished(JSON.stringify("x".repeat(2 * WHOLE_BYTES)));
  for (const { key: blob } of (await testEnv.BLOBS.list({ prefix: `predictions/${id}/` })).objects) {
    await testEnv.BLOBS.delete(blob);
  }
  expect((await callJson(`/v1/predictions/${id}`, { key })).body).toMatchObject({ output: null, status: "succeeded" });
});

it("tells a large input as it was sent", async () => {
  const text = "ü\n".repeat(WHOLE_BYTES);
  const { id } = await finished("1", { text });
  expect((await callJson(`/v1/predictions/${id}`, { key })).body).toMatchObject({ output: 1, input: { text } });
});
