/** What becomes of claims by the edge's verdicts; each request is answered as the test says. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { EventsRequestSchema } from "../../src/contract/event.ts";
import type { EventsReply, EventVerdict, PoolEvent } from "../../src/contract/event.ts";
import { createHandClock } from "../../test/unit/hand-clock.ts";
import { StatusError, TransportError } from "../transport/http-client.ts";
import { createHttpCarrier } from "./carrier.ts";
import { Delivery } from "./delivery.ts";
import { createSpool } from "./spool.ts";

const folder = mkdtempSync(join(tmpdir(), "edgeplane-verdicts-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Answer = (event: PoolEvent) => EventVerdict["verdict"] | Error;

/** A delivery with the claims `tokens`. An answer that is an error is the whole request's. */
function setUp(...tokens: string[]) {
  const { clock, pass } = createHandClock(1000);
  const requests: string[][] = [];
  const told: { states: (string | null)[]; ended: string[]; stopped: string[]; refused: string[] } = {
    ...{ states: [], ended: [], stopped: [], refused: [] },
  };
  let answer: Answer = () => "ok";
  const carry = async (body: unknown): Promise<EventsReply> => {
    const { events } = EventsRequestSchema.parse(JSON.parse(String(body)));
    requests.push(events.map(({ token, type, seq }) => `${token} ${type} ${seq}`));
    const last = [...new Map(events.map((event) => [event.token, event])).values()];
    const verdicts = last.map((event): EventVerdict => {
      const verdict = answer(event);
      if (verdict instanceof Error) throw verdict;
      return { id: event.id, token: event.token, verdict, next: verdict === "resend" ? 0 : event.seq + 1 };
    });
    return { verdicts, cancel: [] };
  };
  const http = { json: ({ body }: { body?: unknown }) => carry(body) };
  const delivery = new Delivery({
    carrier: createHttpCarrier(http as unknown as Parameters<typeof createHttpCarrier>[0]),
    session: "session-1",
    clock,
    spool: createSpool(folder),
    onVerdict: ({ token }, verdict) => verdict !== "started" && told.stopped.push(`${token} ${verdict}`),
    onCancel() {},
    onClosing() {},
    onEnded: (ended) => told.ended.push(...ended),
    onState: (problem) => told.states.push(problem),
    onBatch() {},
    onRefused: (why) => told.refused.push(why),
  });
  for (const token of tokens) delivery.open({ id: `p-${token}`, token }, 0);
  return {
    delivery,
    requests,
    told,
    answerWith: (next: Answer) => void (answer = next),
    async pass(ms: number) {
      pass(ms);
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

const chunk = { type: "output", chunk: "a" } as const;
const done = { type: "succeeded", output: 1 } as const;

it("carries many claims in one request, and forgets each whose end is stored", async () => {
  const { delivery, requests, told, pass } = setUp("a", "b");
  delivery.add("a", done);
  delivery.add("b", chunk);
  await pass(0);
  expect(requests).toEqual([["a succeeded 0", "b output 0"]]);
  expect(told.ended).toEqual(["a"]);
  expect(delivery.pending).toBe(0);
  delivery.open({ id: "p-a", token: "a" }, 5);
  delivery.add("a", chunk);
  await pass(1);
  expect(requests.at(-1)).toEqual(["a output 5"]);
});

it("finds the claim that the edge refuses among several, tells of it alone, and delivers the others", async () => {
  const { delivery, requests, told, answerWith, pass } = setUp("a", "bad", "c");
  answerWith(({ token, type }) => (token === "bad" && type === "succeeded" ? new StatusError(400, "/e", "no") : "ok"));
  for (const token of ["a", "bad", "c"]) delivery.add(token, done);
  for (let round = 0; round < 8; round += 1) await pass(1000);
  expect(requests[0]).toHaveLength(3);
  expect(requests.slice(1).every((events) => events.length === 1)).toBe(true);
  expect(requests.flat().filter((event) => event.includes("failed"))).toEqual(["bad failed 0"]);
  expect(told.refused).toHaveLength(1);
  expect(told.ended.toSorted()).toEqual(["a", "bad", "c"]);
});

it("blames nobody for an edge that is away or busy, and sends the same again", async () => {
  for (const away of [new TransportError("did not answer"), new StatusError(503, "/e", "busy")]) {
    const { delivery, requests, told, answerWith, pass } = setUp("a", "b");
    answerWith(() => away);
    delivery.add("a", done);
    delivery.add("b", done);
    await pass(0);
    expect(told.states.at(-1)).not.toBeNull();
    answerWith(() => "ok");
    for (let round = 0; round < 3; round += 1) await pass(10_000);
    expect(told.refused).toEqual([]);
    expect(requests.at(-1)).toEqual(["a succeeded 0", "b succeeded 0"]);
    expect(told.states.at(-1)).toBeNull();
    expect(told.ended).toEqual(["a", "b"]);
  }
});

it("waits with what is for later, and with nothing else; what left meanwhile is not sent again", async () => {
  const { delivery, requests, told, answerWith, pass } = setUp("a", "b");
  answerWith(({ token }) => (token === "a" ? "later" : "ok"));
  delivery.add("a", chunk);
  delivery.add("b", chunk);
  await pass(0);
  answerWith(() => "ok");
  delivery.add("a", chunk);
  await pass(1);
  expect(requests.slice(1)).toEqual([["a output 0", "a output 1"]]);
  await pass(5000);
  expect(requests.slice(2).flat()).toEqual([]);
  expect(told.states.filter((problem) => problem !== null)).toEqual([]);
});

it("ends what another claim has, or that is aborted, and says which", async () => {
  const { delivery, told, answerWith, pass } = setUp("a", "b");
  answerWith(({ token }) => (token === "a" ? "stale" : "aborted"));
  delivery.add("a", chunk);
  delivery.add("b", chunk);
  await pass(0);
  expect(told).toMatchObject({ stopped: ["a stale", "b aborted"], ended: ["a", "b"] });
  delivery.add("a", done);
  await pass(0);
  expect(delivery.pending).toBe(0);
});
