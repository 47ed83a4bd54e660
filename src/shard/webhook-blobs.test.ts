/** Webhooks leave, whatever the bucket or another sender does not answer. */
import { beforeEach, expect, it, onTestFinished, vi } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import { newPredictionId } from "../contract/ids.ts";
import type { Env } from "../env.ts";
import type { WebhookMessage } from "../webhooks/types.ts";
import { ShardCore } from "./core.ts";
import { createDispatch } from "./dispatch.ts";
import { defaultRules } from "./rules.ts";

const SECRET = "test-secret-test-secret-test-secret-test-secret";
const never = () => new Promise<never>(() => {});

beforeEach(() => {
  vi.spyOn(console, "warn").mockImplementation(() => {});
  vi.useFakeTimers();
  onTestFinished(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });
});

/** `ageMs`: so long ago is what ends now. */
function setUp(ageMs = 0) {
  const now = () => Date.now() - ageMs;
  const core = new ShardCore(memorySql(), { rules: defaultRules, now, newToken: () => "token" });
  const sent: { id: string; input: unknown }[] = [];
  const bucket = { get: async (_key: string): Promise<unknown> => null };
  const hung = new Set<string>();
  const stubs = {
    getByName: (host: string) => ({
      feed: async () => {},
      enqueue: async (messages: WebhookMessage[]) => {
        if (hung.has(host)) await never();
        for (const { webhookId, body } of messages)
          sent.push({ id: webhookId, input: (JSON.parse(body) as { input: unknown }).input });
      },
    }),
  };
  const env = { EDGEPLANE_SECRET: SECRET, WEBHOOKS: stubs, INDEX: stubs, BLOBS: bucket } as unknown as Env;
  const dispatch = createDispatch(env, core, { topics: new Set(), withOutput: false, problem: null });
  const end = (host: string, inputBlob: string | null = null) => {
    const id = newPredictionId(1);
    const hook = { webhook: `https://${host}/hook`, webhookEvents: ["completed" as const] };
    core.submit({ ...submission(id), ...hook, inputBlob, input: inputBlob === null ? { text: "hello" } : null });
    core.cancel(id, "account");
    return `msg_${id}_completed`;
  };
  return { sent, bucket, hung, dispatch, end };
}

it.each([
  ["can't be read", async () => Promise.reject(new Error("the file is not there"))],
  ["are not answered", never],
])("holds up nobody's webhooks by blobs that %s, and tells of them later", async (_how, get) => {
  const { sent, bucket, dispatch, end } = setUp();
  bucket.get = get;
  const large = end("one.com", "predictions/x/input");
  const small = end("one.com");
  const other = end("two.com");
  dispatch.kick();
  await vi.advanceTimersByTimeAsync(15_000);
  await vi.waitFor(() => expect(sent.map(({ id }) => id).toSorted()).toEqual([small, other].toSorted()), {
    timeout: 10_000,
  });
  expect(dispatch.isPending()).toBe(true);
  bucket.get = async () => ({ size: 2, text: async () => '"large"' });
  await vi.advanceTimersByTimeAsync(15_000);
  await vi.waitFor(() => expect(sent.slice(2)).toEqual([{ id: large, input: "large" }]), { timeout: 10_000 });
  await vi.waitFor(() => expect(dispatch.isPending()).toBe(false), { timeout: 10_000 });
});

it("delays nobody's webhooks by seconds while blobs are not answered", async () => {
  const { sent, bucket, dispatch, end } = setUp();
  bucket.get = never;
  const large = Array.from({ length: 4 }, (_, index) => end("one.com", `predictions/${index}/input`));
  const small: string[] = [];
  for (let count = 0; count < 6; count += 1) {
    small.push(end("two.com"));
    dispatch.kick();
    // Each 50 ms of waiting are 50 of the fake clock.
    await vi.waitFor(() => expect(sent.map(({ id }) => id)).toEqual(small), { timeout: 3000 });
  }
  bucket.get = async () => ({ size: 2, text: async () => '"large"' });
  await vi.advanceTimersByTimeAsync(15_000);
  await vi.waitFor(() => expect(sent.slice(6).map(({ id }) => id)).toHaveLength(4), { timeout: 10_000 });
  const told = sent.slice(6).toSorted((a, b) => a.id.localeCompare(b.id));
  expect(told).toEqual(large.toSorted().map((id) => ({ id, input: "large" })));
  await vi.waitFor(() => expect(dispatch.isPending()).toBe(false), { timeout: 10_000 });
});

it("tells of an end without what can't be read for an hour", async () => {
  const { sent, bucket, dispatch, end } = setUp(3_590_000);
  bucket.get = async () => Promise.reject(new Error("the file is not there"));
  const large = end("one.com", "predictions/x/input");
  dispatch.kick();
  await vi.advanceTimersByTimeAsync(5000);
  expect(sent).toEqual([]);
  await vi.advanceTimersByTimeAsync(10_000);
  await vi.waitFor(() => expect(sent).toEqual([{ id: large, input: null }]), { timeout: 10_000 });
  await vi.waitFor(() => expect(dispatch.isPending()).toBe(false), { timeout: 10_000 });
});

it("holds up nobody's webhooks by a sender that never answers", async () => {
  const { sent, hung, dispatch, end } = setUp();
  hung.add("one.com:443");
  const first = end("one.com");
  const second = end("two.com");
  dispatch.kick();
  await vi.advanceTimersByTimeAsync(15_000);
  const third = end("two.com");
  dispatch.kick();
  await vi.advanceTimersByTimeAsync(15_000);
  await vi.waitFor(() => expect(sent.map(({ id }) => id)).toEqual([second, third]), { timeout: 10_000 });
  hung.clear();
  await vi.advanceTimersByTimeAsync(15_000);
  await vi.waitFor(() => expect(sent.map(({ id }) => id)).toEqual([second, third, first]), { timeout: 10_000 });
  await vi.waitFor(() => expect(dispatch.isPending()).toBe(false), { timeout: 10_000 });
});
