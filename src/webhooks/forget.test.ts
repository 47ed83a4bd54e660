/** What a sender keeps of messages whose prediction's data is gone. */
import { expect, it } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import type { Outcome } from "./attempt.ts";
import { Dispatcher, defaultLimits } from "./dispatcher.ts";
import { INLINE_BODY_CHARS, createStore } from "./store.ts";
import type { WebhookMessage } from "./types.ts";

const SECRET = "what the input said";
const outcomes = {
  delivered: { result: "delivered", status: 200, error: null },
  failed: { result: "failed", status: 500, error: "The receiver answered 500." },
} as const satisfies Record<string, Partial<Outcome>>;

function open() {
  const sql = memorySql();
  let now = 1_800_000_000_000;
  const inFlight: ((outcome: keyof typeof outcomes) => void)[] = [];
  const dispatcher = new Dispatcher({
    store: createStore(sql),
    limits: defaultLimits,
    now: () => now,
    random: () => 0.5,
    transaction: (change) => change(),
    wakeAt: () => {},
    databaseBytes: () => 0,
    attempt: async () => {
      const how = await new Promise<keyof typeof outcomes>((resolve) => inFlight.push(resolve));
      return { response: SECRET, retryAfterMs: null, hostFailed: false, ...outcomes[how] };
    },
  });
  return {
    dispatcher,
    /** Everything is due, and the next try ends so. */
    async next(how: keyof typeof outcomes): Promise<void> {
      now += 21 * 3_600_000;
      dispatcher.wake();
      inFlight.shift()?.(how);
      for (let turn = 0; turn < 8; turn += 1) await Promise.resolve();
    },
    sending: () => inFlight.length,
    dump: () => JSON.stringify(["messages", "bodies"].map((table) => sql(`SELECT * FROM ${table}`))),
  };
}

function message(event: WebhookMessage["event"], body = SECRET): WebhookMessage {
  const predictionId = "p";
  const webhookId = `msg_p_${event}`;
  return { webhookId, predictionId, accountId: "a", url: "https://example.com", event, body, createdAt: 1 };
}

it("goes on with what waits, and forgets it with its end", async () => {
  const { dispatcher, next, dump } = open();
  dispatcher.enqueue([message("start"), message("completed")]);
  dispatcher.forget(["p"], "keep");
  expect(dump()).toContain(SECRET);
  await next("failed");
  expect(dump()).toContain(SECRET);
  await next("delivered");
  await next("delivered");
  expect(dispatcher.deliveries("p")).toMatchObject([{ state: "delivered" }, { state: "delivered", response: null }]);
  expect(dump()).not.toContain(SECRET);
});

it("forgets what has ended at once", async () => {
  const { dispatcher, next, dump } = open();
  dispatcher.enqueue([message("completed")]);
  await next("delivered");
  expect(dump()).toContain(SECRET);
  dispatcher.forget(["p"], "keep");
  expect(dump()).not.toContain(SECRET);
  expect(dispatcher.redeliver("p", "msg_p_completed")).toBe("gone");
});

it("keeps nothing large of a message that is over when it comes", async () => {
  const { dispatcher, next, dump } = open();
  dispatcher.enqueue([message("completed", "fine")]);
  await next("delivered");
  dispatcher.enqueue([message("output", SECRET.repeat(INLINE_BODY_CHARS / 10))]);
  dispatcher.forget(["p"], "keep");
  expect(dispatcher.deliveries("p")).toMatchObject([{ state: "superseded" }, { state: "delivered" }]);
  expect(dump()).not.toContain(SECRET);
});

it.each([SECRET, SECRET.repeat(INLINE_BODY_CHARS / 10)])(
  "ends what waits, in flight too, when it is to drop it",
  async (body) => {
    const { dispatcher, next, sending, dump } = open();
    dispatcher.enqueue([message("start", body), message("completed", body)]);
    expect(sending()).toBe(1);
    dispatcher.forget(["p"], "drop");
    expect(dump()).not.toContain(SECRET);
    await next("failed");
    expect(dispatcher.deliveries("p")).toMatchObject([{ state: "failed" }, { state: "failed" }]);
    dispatcher.enqueue([message("output", body)]);
    expect(dump()).not.toContain(SECRET);
    expect(sending()).toBe(0);
  },
);
