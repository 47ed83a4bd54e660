/** Events reach OpenMeter and Stripe once by their ids, whatever the servers do and whenever the sink dies. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { usageEvent } from "../../../src/metering/cloud-event.ts";
import type { UsageEvent } from "../../../src/metering/cloud-event.ts";
import type { AttemptRecord } from "../../../src/metering/record.ts";
import { createTopicReader } from "./reader.ts";
import type { ReadRecord, TopicReader } from "./reader.ts";
import { createSink } from "./sink.ts";
import { openMeter, stripe } from "./targets.ts";
import type { Target } from "./targets.ts";

const NOW = Date.UTC(2026, 10, 15);
const DAY_MS = 86_400_000;
type Answer = (request: { body: string; headers: IncomingMessage["headers"] }, response: ServerResponse) => void;

let dir: string;
let server: Server;
let url: string;
/** What the server answers, first to last; then `ok`. */
let faults: Answer[];
let ok: Answer;
let clock: number;
const slept: number[] = [];

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "edgeplane-sink-"));
  faults = [];
  slept.length = 0;
  clock = NOW;
  server = createServer((request, response) => {
    let body = "";
    request.on("data", (piece: Buffer) => (body += piece.toString()));
    request.on("end", () => (faults.shift() ?? ok)({ body, headers: request.headers }, response));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
  rmSync(dir, { recursive: true });
});

const answer =
  (status: number, text = "", headers: Record<string, string> = {}): Answer =>
  (_, response) =>
    void response.writeHead(status, headers).end(text);
const cut: Answer = (_, response) => response.destroy();
const hang: Answer = () => {};

function event(n: number, overrides: Partial<AttemptRecord> = {}): UsageEvent {
  return usageEvent({
    ...{ v: 2, kind: "attempt", id: `p${n}.1`, at: NOW, account: "acme", deployment: null, device: "cpu", gpuUs: 10 },
    ...{ flags: [], prediction: `p${n}`, attempt: 1, key: null, model: "o/n", version: "v", queuedMs: 0, runMs: 1 },
    ...{ units: { tokens: 7 }, outcome: "succeeded", cached: false, billed: true, costNano: 100 + n },
    ...{ currency: "USD", price: "1" },
    ...overrides,
  });
}
const records = (events: readonly unknown[]): ReadRecord[] =>
  events.map((one, offset) => ({ partition: 0, offset, value: typeof one === "string" ? one : JSON.stringify(one) }));
function readerOf(all: readonly ReadRecord[], atOnce = 100): TopicReader {
  return {
    read: async (offsets, only?: ReadonlySet<number>) =>
      all
        .filter(({ partition, offset }) => offset >= (offsets[partition] ?? 0) && (only?.has(partition) ?? true))
        .slice(0, atOnce),
  };
}
const dead = (): { reason: string; event: UsageEvent }[] =>
  existsSync(join(dir, "dead"))
    ? readFileSync(join(dir, "dead"), "utf8")
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as { reason: string; event: UsageEvent })
    : [];

function open(reader: TopicReader, target: Target, requestMs = 30_000) {
  return createSink({
    ...{ reader, target, topic: "usage", statePath: join(dir, "state"), deadLetterPath: join(dir, "dead") },
    ...{ now: () => clock, requestMs },
    sleep: async (ms) => {
      slept.push(ms);
      clock += ms;
    },
  });
}

/** OpenMeter as its documents say: it takes a batch as a whole, and an event with a known source and id once. */
function meter() {
  const taken = new Map<string, UsageEvent>();
  ok = ({ body, headers }, response) => {
    expect(headers["content-type"]).toBe("application/cloudevents-batch+json");
    const events = JSON.parse(body) as UsageEvent[];
    if (events.some(({ subject }) => subject === "bad")) {
      response.writeHead(400).end("bad subject");
      return;
    }
    for (const one of events) taken.set(`${one.source} ${one.id}`, one);
    response.writeHead(204).end();
  };
  return taken;
}

/** Stripe as its documents say: one event a call, an identifier once in a day. */
function billing() {
  const taken = new Map<string, { value: string | null; customer: string | null; timestamp: string | null }>();
  ok = ({ body }, response) => {
    const form = new URLSearchParams(body);
    const id = form.get("identifier") ?? "";
    if (taken.has(id)) {
      response.writeHead(400).end(`{"error":{"message":"An event already exists with identifier ${id}"}}`);
      return;
    }
    const [value, customer] = [form.get("payload[value]"), form.get("payload[stripe_customer_id]")];
    taken.set(id, { value, customer, timestamp: form.get("timestamp") });
    response.writeHead(200).end("{}");
  };
  return taken;
}
const stripeTarget = () =>
  stripe({ url, key: "sk", meter: { event: "cost", value: "costNano" }, customers: { acme: "cus_1" } });

it.each([
  ["429 with a time", answer(429, "", { "retry-after": "7" }), 7000],
  ["429", answer(429), 500],
  ["500", answer(500), 500],
  ["503", answer(503), 500],
  ["a cut connection", cut, 500],
  ["no answer in time", hang, 500],
])("goes on after %s, later each time", async (_, fault, firstMs) => {
  const taken = meter();
  faults = [fault, fault, answer(500)];
  const target = openMeter({ url, token: "t" });
  const limitMs = fault === hang ? 1000 : undefined;
  const step = await open(readerOf(records([event(1), event(2)])), target, limitMs).step();
  expect(step).toEqual({ read: 2, sent: 2, dead: 0 });
  expect([...taken.values()].map(({ id }) => id)).toEqual(["p1.1", "p2.1"]);
  expect(slept[0]).toBe(firstMs);
  // Where an answer has a limit, a busy machine may miss it once more.
  if (fault === hang) expect(slept.length).toBeGreaterThanOrEqual(3);
  else expect(slept).toHaveLength(3);
});

it("buries the one event that is refused, and nothing else; what is no event is left out", async () => {
  const taken = meter();
  const events = [event(1), event(2), event(3, { account: "bad" }), event(4), '{"v":1}', "no JSON"];
  const sink = open(readerOf(records(events)), openMeter({ url, token: undefined }));
  expect(await sink.step()).toEqual({ read: 6, sent: 3, dead: 1 });
  expect(taken.size).toBe(3);
  expect(dead()).toMatchObject([{ reason: "openmeter refuses it: 400 bad subject", event: { id: "p3.1" } }]);
  expect(await sink.step()).toEqual({ read: 0, sent: 0, dead: 0 });
});

it("moves no offset, and says why, while its key is wrong", async () => {
  const taken = meter();
  faults = [answer(401, "no such key")];
  const sink = open(readerOf(records([event(1)])), openMeter({ url, token: "wrong" }));
  await expect(sink.step()).rejects.toThrow("openmeter answered 401 no such key: look at its address and its key");
  expect([taken.size, dead().length]).toEqual([0, 0]);
  expect(await sink.step()).toEqual({ read: 1, sent: 1, dead: 0 });
});

it("sends each again that may not have arrived before it died, and Stripe counts it once", async () => {
  const taken = billing();
  const all = records([1, 2, 3, 4, 5].map((n) => event(n)));
  const dying = { ...stripeTarget() };
  const { request } = dying;
  let requests = 0;
  dying.request = (events) => {
    requests += 1;
    if (requests === 4) throw new Error("killed");
    return request(events);
  };
  await expect(open(readerOf(all, 4), dying).step()).rejects.toThrow("killed");
  expect(taken.size).toBe(3);
  const next = open(readerOf(all), stripeTarget());
  expect(await next.step()).toEqual({ read: 4, sent: 4, dead: 0 });
  expect(await next.step()).toEqual({ read: 1, sent: 1, dead: 0 });
  expect([...taken.entries()].map(([id, { value, customer }]) => [id, value, customer])).toEqual(
    [1, 2, 3, 4, 5].map((n) => [`p${n}.1`, String(100 + n), "cus_1"]),
  );
});

it("sends Stripe nothing again after a day, and nothing older than 35 days", async () => {
  const taken = billing();
  const all = records([event(1), event(2, { at: NOW - 36 * DAY_MS }), event(3)]);
  faults = [cut];
  const dying = open(readerOf(all, 2), { ...stripeTarget(), verdict: () => "misconfigured" });
  faults = [answer(500)];
  await expect(dying.step()).rejects.toThrow("stripe answered 500");
  clock += DAY_MS;
  const next = open(readerOf(all), stripeTarget());
  expect(await next.step()).toEqual({ read: 2, sent: 0, dead: 2 });
  expect(dead().map(({ reason, event: { id } }) => [id, reason])).toEqual([
    ["p2.1", "it is older than 35 days"],
    ["p2.1", "it is older than 35 days"],
    ["p1.1", "it may have arrived, and can't be sent again so late: look whether it did"],
  ]);
  expect(await next.step()).toEqual({ read: 1, sent: 1, dead: 0 });
  expect([...taken.keys()]).toEqual(["p3.1"]);
});

it.each([1, 2])(
  "knows what it had begun to send, though the log brings %i of it first, and much else",
  async (atOnce) => {
    const taken = billing();
    const place = (partition: number, offset: number, n: number): ReadRecord => ({
      ...{ partition, offset, value: JSON.stringify(event(n)) },
    });
    const all = [place(0, 0, 1), place(1, 0, 2), place(1, 1, 3)];
    const dying = open(readerOf(all), { ...stripeTarget(), request: () => expect.unreachable("killed") });
    await expect(dying.step()).rejects.toThrow("killed");
    clock += DAY_MS;
    const later = [place(0, 0, 1), place(0, 1, 4), place(0, 2, 5), place(0, 3, 6), ...all.slice(1), place(1, 2, 7)];
    const next = open(readerOf(later, atOnce), stripeTarget());
    for (let steps = 0; (await next.step()).read > 0; steps += 1) expect(steps).toBeLessThan(10);
    // The sink doesn't send again an event that may have arrived a day ago; it sends those that came since.
    expect([...taken.keys()].toSorted()).toEqual(["p4.1", "p5.1", "p6.1", "p7.1"]);
    expect(dead().map(({ event: { id } }) => id)).toEqual(["p1.1", "p2.1", "p3.1"]);
  },
);

it("gives up sending in time while Stripe is away for a day", async () => {
  billing();
  ok = answer(503);
  const sink = open(readerOf(records([event(1)])), stripeTarget());
  expect(await sink.step()).toEqual({ read: 1, sent: 0, dead: 1 });
  expect(clock - NOW).toBeGreaterThan(22 * 3_600_000);
  expect(clock - NOW).toBeLessThan(DAY_MS);
});

it("tells Stripe what is billed of accounts that are its customers", async () => {
  const taken = billing();
  const events = [
    event(1, { billed: false }),
    event(2, { account: "stranger" }),
    event(3, { costNano: -5, flags: ["correction"] }),
    event(4),
  ];
  expect(await open(readerOf(records(events)), stripeTarget()).step()).toEqual({ read: 4, sent: 1, dead: 2 });
  expect([...taken.keys()]).toEqual(["p4.1"]);
  expect(taken.get("p4.1")?.timestamp).toBe(String(NOW / 1000));
  expect(dead().map(({ reason }) => reason)).toEqual([
    "the account has no customer",
    "a meter takes nothing back: credit the customer by hand",
  ]);
});

it("begins nowhere with a state that can't be read, rather than sending all again", () => {
  meter();
  writeFileSync(join(dir, "state"), "{");
  expect(() => open(readerOf([]), openMeter({ url, token: undefined }))).toThrow(
    "is no state of a sink of the topic usage",
  );
});

it("reads every partition from where it was, or from the oldest record that is left", async () => {
  const asked: unknown[] = [];
  const body = (value: unknown) => answer(200, JSON.stringify(value));
  ok = ({ body: text }, response) => {
    asked.push(JSON.parse(text));
    response
      .writeHead(200)
      .end(JSON.stringify([{ topic: "usage", partition: 1, offset: 9, value: "{}", headers: [] }]));
  };
  faults = [body({ usage: 2, other: 1 }), body([0, 1].map((partition) => ({ topic: "usage", partition, offset: 5 })))];
  const reader = createTopicReader({ url, username: "u", password: "p" }, "usage", 10);
  expect(await reader.read({ "0": 3, "1": 9 })).toMatchObject([{ partition: 1, offset: 9 }]);
  const places = [0, 1].map((partition) => ({ topic: "usage", partition, offset: partition === 0 ? 5 : 9 }));
  expect(asked).toEqual([{ topicPartitionOffsets: places, timeout: 10 }]);
  faults = [body({ usage: 2 }), body(places.slice(1))];
  await reader.read({}, new Set([1]));
  expect(asked[1]).toEqual({ topicPartitionOffsets: places.slice(1), timeout: 10 });
});
