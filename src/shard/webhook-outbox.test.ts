/** What leaves a shard after its object was reset. */
import { expect, it, onTestFinished, vi } from "vitest";
import { memorySql, smallRowsSql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import type { PoolEvent } from "../contract/event.ts";
import { newPredictionId } from "../contract/ids.ts";
import type { Env } from "../env.ts";
import type { WebhookMessage } from "../webhooks/types.ts";
import { ShardCore } from "./core.ts";
import { createDispatch } from "./dispatch.ts";
import { defaultRules } from "./rules.ts";

const SECRET = "test-secret-test-secret-test-secret-test-secret";

it("sends the webhooks that an earlier life of the object left behind, and stays awake until they are gone", async () => {
  const sql = memorySql();
  const open = () => new ShardCore(sql, { rules: defaultRules, now: () => Date.now(), newToken: () => "token" });
  const id = newPredictionId(1);
  const before = open();
  before.submit({ ...submission(id), webhook: "https://example.com/hook", webhookEvents: ["completed"] });
  before.cancel(id, "account");

  const sent: WebhookMessage[] = [];
  let away = true;
  let tries = 0;
  const enqueue = async (messages: WebhookMessage[]): Promise<void> => {
    tries += 1;
    if (away) throw new Error("the sender is away");
    sent.push(...messages);
  };
  const stubs = { getByName: () => ({ enqueue, feed: async () => {} }) };
  const env = { EDGEPLANE_SECRET: SECRET, WEBHOOKS: stubs, INDEX: stubs } as unknown as Env;
  const dispatch = createDispatch(env, open(), { topics: new Set(), withOutput: false, problem: null });
  dispatch.kick();
  await expect.poll(() => tries).toBeGreaterThan(0);
  expect(dispatch.isPending()).toBe(true);
  away = false;
  await expect.poll(() => sent).toMatchObject([{ webhookId: `msg_${id}_completed`, url: "https://example.com/hook" }]);
  await expect.poll(() => dispatch.isPending()).toBe(false);
});

it("holds up no other receiver's webhooks by one whose sender can't be reached, nor loses that one's", async () => {
  const core = new ShardCore(memorySql(), { rules: defaultRules, now: () => Date.now(), newToken: () => "token" });
  const submitTo = (host: string) => {
    const id = newPredictionId(1);
    core.submit({ ...submission(id), webhook: `https://${host}/hook`, webhookEvents: ["completed"] });
    core.cancel(id, "account");
    return `msg_${id}_completed`;
  };
  // More than leave together.
  const away = Array.from({ length: 60 }, () => submitTo("away.com"));
  const wanted = submitTo("well.com");

  const sent: WebhookMessage[] = [];
  let isAway = true;
  let tries = 0;
  const stubs = {
    getByName: (host: string) => ({
      feed: async () => {},
      enqueue: async (messages: WebhookMessage[]) => {
        if (host.startsWith("away.com")) tries += 1;
        if (host.startsWith("away.com") && isAway) throw new Error("overloaded");
        sent.push(...messages);
      },
    }),
  };
  const env = { EDGEPLANE_SECRET: SECRET, WEBHOOKS: stubs, INDEX: stubs } as unknown as Env;
  const dispatch = createDispatch(env, core, { topics: new Set(), withOutput: false, problem: null });
  dispatch.kick();
  await expect.poll(() => sent.map(({ webhookId }) => webhookId)).toEqual([wanted]);
  expect(tries).toBe(1);
  expect(dispatch.isPending()).toBe(true);
  isAway = false;
  await expect
    .poll(() =>
      sent
        .slice(1)
        .map(({ webhookId }) => webhookId)
        .toSorted(),
    )
    .toEqual(away.toSorted());
  await expect.poll(() => dispatch.isPending()).toBe(false);
});

it("loses no `completed` whose words take more as JSON than a row has, and tells all of them", async () => {
  const core = new ShardCore(smallRowsSql(), { rules: defaultRules, now: () => Date.now(), newToken: () => "token" });
  const id = newPredictionId(1);
  core.submit({ ...submission(id), webhook: "https://example.com/hook", webhookEvents: ["logs", "completed"] });
  core.claim({ session: "session", jobs: [{ id, startNow: true }] }, ["default"]);
  const claim = { id, token: "token" };
  // Six characters each in JSON.
  const log = "\u0001".repeat(200_000);
  const output = "\u0002".repeat(150_000);
  const deliver = (...events: PoolEvent[]) => core.deliver(events, "session", ["default"]).verdicts;
  deliver({ ...claim, seq: 0, type: "output", chunk: output }, { ...claim, seq: 1, type: "log", text: log });
  expect(deliver({ ...claim, seq: 2, type: "succeeded", output: [output] })).toMatchObject([{ verdict: "ok" }]);

  const sent: WebhookMessage[] = [];
  const stubs = {
    getByName: () => ({ feed: async () => {}, enqueue: async (some: WebhookMessage[]) => void sent.push(...some) }),
  };
  const env = { EDGEPLANE_SECRET: SECRET, WEBHOOKS: stubs, INDEX: stubs } as unknown as Env;
  createDispatch(env, core, { topics: new Set(), withOutput: false, problem: null }).kick();
  await expect.poll(() => sent.map(({ event }) => event)).toEqual(["logs", "completed"]);
  const [interim, completed] = sent.map(({ body }) => JSON.parse(body) as { output: unknown; logs: string });
  expect(completed).toMatchObject({ status: "succeeded", output: [output], input: { text: "hello" } });
  expect(completed?.logs).toBe(log);
  expect(interim).toMatchObject({ status: "processing", output: [output] });
  expect(log.endsWith(interim?.logs ?? "none")).toBe(true);
});

it("leaves a sender alone that can't keep up, and delays nobody else's webhooks by it", async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const core = new ShardCore(memorySql(), { rules: defaultRules, now: () => Date.now(), newToken: () => "token" });
  const sent: string[] = [];
  let tries = 0;
  const stubs = {
    getByName: (host: string) => ({
      feed: async () => {},
      enqueue: async (messages: WebhookMessage[]) => {
        if (host.startsWith("busy.com")) {
          tries += 1;
          throw Object.assign(new Error("too many requests are queued"), { overloaded: true });
        }
        sent.push(...messages.map(({ webhookId }) => webhookId));
      },
    }),
  };
  const env = { EDGEPLANE_SECRET: SECRET, WEBHOOKS: stubs, INDEX: stubs } as unknown as Env;
  const dispatch = createDispatch(env, core, { topics: new Set(), withOutput: false, problem: null });
  const wanted: string[] = [];
  for (const host of ["busy.com", "well.com", "busy.com", "well.com", "well.com"]) {
    const id = newPredictionId(1);
    core.submit({ ...submission(id), webhook: `https://${host}/hook`, webhookEvents: ["completed"] });
    core.cancel(id, "account");
    if (host === "well.com") wanted.push(`msg_${id}_completed`);
    dispatch.kick();
    // All together less than the second after which the sender is tried again at the earliest.
    await vi.advanceTimersByTimeAsync(150);
    expect(sent).toEqual(wanted);
  }
  expect(tries).toBe(1);
  expect(dispatch.isPending()).toBe(true);
});

it("waits a second at most for a sender that hangs, and sends its messages in order once it answers", async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const core = new ShardCore(memorySql(), { rules: defaultRules, now: () => Date.now(), newToken: () => "token" });
  const sent: string[] = [];
  let hangs = true;
  let calls = 0;
  const stubs = {
    getByName: (host: string) => ({
      feed: async () => {},
      enqueue: async (messages: WebhookMessage[]) => {
        if (host.startsWith("hangs.com")) calls += 1;
        if (host.startsWith("hangs.com") && hangs) await new Promise(() => {});
        sent.push(...messages.map(({ webhookId }) => webhookId));
      },
    }),
  };
  const env = { EDGEPLANE_SECRET: SECRET, WEBHOOKS: stubs, INDEX: stubs } as unknown as Env;
  const dispatch = createDispatch(env, core, { topics: new Set(), withOutput: false, problem: null });
  const wanted: string[] = [];
  const late: string[] = [];
  for (const host of ["hangs.com", "well.com", "hangs.com", "well.com", "well.com"]) {
    const id = newPredictionId(1);
    core.submit({ ...submission(id), webhook: `https://${host}/hook`, webhookEvents: ["completed"] });
    core.cancel(id, "account");
    (host === "well.com" ? wanted : late).push(`msg_${id}_completed`);
    dispatch.kick();
    // Each 50 ms of waiting are 50 of the fake clock: far less than a call may take.
    await vi.waitFor(() => expect(sent).toEqual(wanted), { timeout: 1900 });
  }
  expect(calls).toBe(1);
  expect(dispatch.isPending()).toBe(true);
  hangs = false;
  await vi.advanceTimersByTimeAsync(10_000);
  await vi.waitFor(() => expect(sent).toEqual([...wanted, ...late]), { timeout: 10_000 });
  await vi.waitFor(() => expect(dispatch.isPending()).toBe(false), { timeout: 10_000 });
});

it("sends a message that is older than what was sent before it, and comes to rest", async () => {
  let nowMs = 10_000;
  const core = new ShardCore(memorySql(), { rules: defaultRules, now: () => nowMs, newToken: () => "token" });
  const submitOne = () => {
    const id = newPredictionId(1);
    core.submit({ ...submission(id), webhook: "https://example.com/hook", webhookEvents: ["completed"] });
    core.cancel(id, "account");
    return `msg_${id}_completed`;
  };
  const sent: WebhookMessage[] = [];
  const stubs = {
    getByName: () => ({ feed: async () => {}, enqueue: async (some: WebhookMessage[]) => void sent.push(...some) }),
  };
  const env = { EDGEPLANE_SECRET: SECRET, WEBHOOKS: stubs, INDEX: stubs } as unknown as Env;
  const dispatch = createDispatch(env, core, { topics: new Set(), withOutput: false, problem: null });
  const first = submitOne();
  dispatch.kick();
  await expect.poll(() => sent.map(({ webhookId }) => webhookId)).toEqual([first]);
  nowMs = 5000;
  const second = submitOne();
  dispatch.kick();
  await expect.poll(() => sent.map(({ webhookId }) => webhookId)).toEqual([first, second]);
  await expect.poll(() => dispatch.isPending()).toBe(false);
});

it("hands `start` on no later than the `completed` of its millisecond, though a page ends between them", async () => {
  let nowMs = 10_000;
  const core = new ShardCore(memorySql(), { rules: defaultRules, now: () => nowMs, newToken: () => "token" });
  const submitOne = (...webhookEvents: ("start" | "completed")[]) => {
    const id = newPredictionId(1);
    core.submit({ ...submission(id), webhook: "https://example.com/hook", webhookEvents });
    core.claim({ session: "session", jobs: [{ id, startNow: true }] }, ["default"]);
    const claim = { id, token: "token" };
    core.deliver([{ ...claim, seq: 0, type: "succeeded", output: "o" }], "session", ["default"]);
  };
  // An odd number before it.
  submitOne("completed");
  nowMs += 1;
  for (let count = 0; count < 60; count += 1) submitOne("start", "completed");

  const calls: WebhookMessage[][] = [];
  const stubs = {
    getByName: () => ({ feed: async () => {}, enqueue: async (some: WebhookMessage[]) => void calls.push(some) }),
  };
  const env = { EDGEPLANE_SECRET: SECRET, WEBHOOKS: stubs, INDEX: stubs } as unknown as Env;
  createDispatch(env, core, { topics: new Set(), withOutput: false, problem: null }).kick();
  await expect.poll(() => calls.flat()).toHaveLength(121);
  const told = new Set<string>();
  const late: string[] = [];
  for (const messages of calls) {
    // What comes in one call is in order there.
    for (const { event, predictionId } of messages)
      if (event === "start" && told.has(predictionId)) late.push(predictionId);
    for (const { event, predictionId } of messages) if (event === "completed") told.add(predictionId);
  }
  expect(late).toEqual([]);
  expect(new Set(calls.flat().map(({ webhookId }) => webhookId)).size).toBe(121);
});
