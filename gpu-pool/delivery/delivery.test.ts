/** What leaves together, and when: the carrier and the clock are the test's. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { EventsRequestSchema } from "../../src/contract/event.ts";
import type { EventsReply } from "../../src/contract/event.ts";
import type { Json } from "../../src/contract/prediction.ts";
import { createHandClock } from "../../test/unit/hand-clock.ts";
import { createHttpCarrier } from "./carrier.ts";
import { Delivery } from "./delivery.ts";
import { createSpool } from "./spool.ts";

const folder = mkdtempSync(join(tmpdir(), "edgeplane-delivery-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const settled = () => new Promise((resolve) => setImmediate(resolve));

/** A delivery with one claim, `token`; its requests are answered at once. */
function setUp() {
  const { clock, now, pass } = createHandClock(1000);
  const sent: { at: number; types: string[] }[] = [];
  const heartbeats: boolean[] = [];
  const carry = async (body: unknown): Promise<EventsReply> => {
    const { events, heartbeat = false } = EventsRequestSchema.parse(JSON.parse(String(body)));
    sent.push({ at: now(), types: events.map(({ type }) => type) });
    heartbeats.push(heartbeat);
    const next = (events.at(-1)?.seq ?? 0) + 1;
    return { verdicts: [{ id: "p", token: "token", verdict: "ok", next }], cancel: [] };
  };
  const http = { json: ({ body }: { body?: unknown }) => carry(body) };
  const delivery = new Delivery({
    carrier: createHttpCarrier(http as unknown as Parameters<typeof createHttpCarrier>[0]),
    session: "session-1",
    clock,
    spool: createSpool(folder),
    onVerdict() {},
    onCancel() {},
    onClosing() {},
    onEnded() {},
    onState() {},
    onBatch() {},
    onRefused() {},
  });
  delivery.open({ id: "p", token: "token" }, 0);
  return {
    sent,
    heartbeats,
    heartbeat: () => delivery.heartbeat(),
    linger: (limitMs: number) => delivery.lingerFor("token", limitMs),
    add: (...bodies: Parameters<Delivery["add"]>[1][]) => {
      for (const body of bodies) delivery.add("token", body);
    },
    async pass(ms: number) {
      pass(ms);
      await settled();
    },
  };
}

const chunk = { type: "output", chunk: "a" } as const;

it("sends a lone chunk at once, and the next without a rest that could be seen", async () => {
  const { sent, add, pass } = setUp();
  add(chunk);
  await pass(0);
  add(chunk);
  await pass(1);
  expect(sent.map(({ types }) => types)).toEqual([["output"], ["output"]]);
});

it("holds the lease with events, too, while the channel is down", async () => {
  const { sent, heartbeats, heartbeat, add, pass } = setUp();
  add(chunk);
  heartbeat();
  await pass(0);
  add(chunk);
  await pass(1);
  heartbeat();
  await pass(0);
  expect(sent.map(({ types }) => types)).toEqual([["output"], ["output"], []]);
  expect(heartbeats).toEqual([true, false, true]);
});

it("lets chunks gather after a request that carried many, and nothing that a job waits for", async () => {
  const { sent, add, pass } = setUp();
  add(...Array.from({ length: 200 }, () => chunk));
  await pass(0);
  expect(sent).toHaveLength(1);
  add(chunk);
  await pass(30);
  add(chunk);
  expect(sent).toHaveLength(1);
  await pass(20);
  expect(sent[1]).toEqual({ at: 1050, types: ["output", "output"] });
  add(...Array.from({ length: 200 }, () => chunk));
  await pass(1);
  add(chunk, { type: "succeeded", output: ["a"] });
  await pass(0);
  expect(sent.at(-1)).toEqual({ at: 1051, types: ["output", "succeeded"] });
});

it("sends metrics with what comes next, or alone when nothing comes", async () => {
  const { sent, add, pass } = setUp();
  const metric = { type: "metric", metrics: { tokens: 1 } } as const;
  add(metric);
  await pass(40);
  expect(sent).toHaveLength(0);
  add(chunk);
  await pass(0);
  expect(sent).toEqual([{ at: 1040, types: ["metric", "output"] }]);
  add(metric);
  await pass(250);
  expect(sent[1]).toEqual({ at: 1290, types: ["metric"] });
});

it("waits for the end of a claim that others wait behind, and not for long", async () => {
  const { sent, add, linger, pass } = setUp();
  const starting = { type: "starting" } as const;
  linger(25);
  add(starting);
  await pass(24);
  expect(sent).toEqual([]);
  await pass(1);
  expect(sent.map(({ types }) => types)).toEqual([["starting"]]);
  linger(25);
  add({ type: "log", text: "a" });
  add({ type: "succeeded", output: 1 });
  await pass(0);
  expect(sent.map(({ types }) => types)).toEqual([["starting"], ["log", "succeeded"]]);
});

it("fails a prediction whose result can't be written as JSON, and delivers the others'", async () => {
  let deep: Json = [];
  for (let depth = 0; depth < 50_000; depth += 1) deep = [deep];
  const { sent, add, pass } = setUp();
  add({ type: "succeeded", output: deep });
  await pass(0);
  expect(sent).toEqual([{ at: 1000, types: ["failed"] }]);
});

it("keeps a finished result on disk as soon as the disk takes it, while the edge is away", async () => {
  const { clock, pass } = createHandClock(1000);
  const kept: string[] = [];
  let isFull = true;
  const spool = {
    ...createSpool(folder, 0),
    keep(id: string) {
      if (isFull) throw new Error("ENOSPC: no space left on device");
      kept.push(id);
    },
  };
  const http = { json: () => Promise.reject(new Error("away")) };
  const delivery = new Delivery({
    carrier: createHttpCarrier(http as unknown as Parameters<typeof createHttpCarrier>[0]),
    session: "session-1",
    clock,
    spool,
    onVerdict() {},
    onCancel() {},
    onClosing() {},
    onEnded() {},
    onState() {},
    onBatch() {},
    onRefused() {},
  });
  delivery.open({ id: "p", token: "token" }, 0);
  delivery.add("token", { type: "succeeded", output: 1 });
  for (let tries = 0; tries < 3; tries += 1) {
    await settled();
    pass(2000);
  }
  expect(kept).toEqual([]);
  isFull = false;
  for (let tries = 0; tries < 3; tries += 1) {
    await settled();
    pass(2000);
  }
  expect(kept).toEqual(["p"]);
});
