/** `content-safety` in the Worker: published, asked and streamed through. */
import { beforeAll, describe, expect, it } from "vitest";
import type { Env } from "../../src/env.ts";
import { call, callJson, FakePool, newKey, offer, readEvents, testEnv } from "./edge-harness.ts";

const VERSION = "5afe".padEnd(64, "0");
const operator = testEnv.ADMIN_KEY ?? "";
let key = "";

beforeAll(async () => {
  key = await newKey("safety");
  await offer({ name: "safety", version: VERSION, streams: "concatenate" });
});

/** A gateway with these settings of the plugin. */
async function gateway(config: object) {
  const name = crypto.randomUUID();
  const getByName = () => testEnv.SETTINGS.getByName(name);
  const env: Partial<Env> = { SETTINGS: { getByName } as unknown as Env["SETTINGS"] };
  const settings = { plugins: { "api-key": {}, "content-safety": { config } } };
  const published = await callJson("/admin/v1/settings", { key: operator, env, body: { settings, why: "a test" } });
  expect(published).toMatchObject({ status: 201 });
  const create = (input: object) => callJson("/v1/predictions", { key, env, body: { version: VERSION, input } });
  const pool = await FakePool.open();
  return {
    create,
    get: (id: string) => callJson(`/v1/predictions/${id}`, { key, env }),
    /** Sends chunks one by one, then what ends it; what an event stream got of it. */
    run: async (id: string, url: string, chunks: readonly string[]) => {
      const reading = readEvents(await call(url, { headers: { accept: "text/event-stream" }, env }));
      const grant = await pool.claim(id);
      let { seq } = grant;
      const send = (event: object) => {
        const body = { session: pool.session, events: [{ ...event, id, token: grant.token, seq }] };
        seq += 1;
        return callJson("/pool/v1/events", { key: pool.key, env, body });
      };
      for (const text of chunks) {
        await send({ type: "output", chunk: text });
        await send({ type: "log", text });
      }
      await send({ type: "succeeded", output: chunks, metrics: {} });
      return reading;
    },
  };
}

const chunksOf = (text: string): string[] => text.match(/.{1,3}/gsu) ?? [];
const list = (action: string, terms: string[]) => ({ lists: [{ name: "house", category: "insult", action, terms }] });

describe("output that is streamed", () => {
  it("never shows what is blocked: not in the stream, not in the prediction, not in its logs", async () => {
    const { create, run, get } = await gateway(list("block", ["blockhead"]));
    const { body } = await create({ text: "Ada" });
    const { stream } = body["urls"] as { stream: string };
    const events = await run(String(body["id"]), stream, chunksOf("You are a b l o c k h e a d, I fear."));
    const got = events.filter(({ event }) => event === "output" || event === "logs").map(({ data }) => data);
    expect("You are a ".startsWith(got.filter((_, at) => events[at]?.event === "output").join(""))).toBe(true);
    const after = (await get(String(body["id"]))).body;
    expect(after).toMatchObject({ status: "failed" });
    expect(JSON.stringify([got, after["output"], after["logs"], after["error"]])).not.toMatch(/l o c|h e a d/);
  });

  it("is masked everywhere alike", async () => {
    const { create, run, get } = await gateway({ ...list("mask", ["blockhead"]), patterns: { card: "mask" } });
    const { body } = await create({ text: "Ada" });
    const { stream } = body["urls"] as { stream: string };
    const events = await run(String(body["id"]), stream, chunksOf("Dear blockhead, 4111 1111 1111 1111 is your card."));
    const streamed = events.filter(({ event }) => event === "output").map(({ data }) => data);
    const masked = "Dear *********, ******************* is your card.";
    expect(streamed.join("")).toBe(masked);
    const after = (await get(String(body["id"]))).body;
    expect(after).toMatchObject({ status: "succeeded", logs: masked });
    expect([after["output"]].flat().join("")).toBe(masked);
  });
});

describe("a large list", () => {
  it("is compiled when it is published, and blocks from then on", async () => {
    const terms = Array.from(
      { length: 20_000 },
      (_, at) => `kw${at.toString(26).replaceAll(/\d/g, (digit) => "qrstuvwxyz"[Number(digit)] ?? "")}`,
    );
    const { create } = await gateway(list("block", [...new Set(terms)]));
    const { objects } = await testEnv.BLOBS.list({ prefix: "artifacts/content-safety.words." });
    expect(objects.length).toBeGreaterThan(0);
    const refused = await create({ text: `hello ${terms[7] ?? ""} k-w-${(terms[19_999] ?? "").slice(2)}` });
    expect(refused).toMatchObject({ status: 403, body: { code: "rejected_by_policy" } });
    expect((await create({ text: "hello" })).status).toBe(201);
  });
});
