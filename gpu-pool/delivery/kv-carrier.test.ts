import { beforeEach, describe, expect, it } from "vitest";
import type { ClaimRef, PoolMessage } from "../../src/contract/channel.ts";
import type { ParkedOutcome } from "../../src/contract/parked.ts";
import { StatusError, TransportError } from "../transport/http-client.ts";
import { KvCarrier } from "./kv-carrier.ts";
import type { ParkedRedis } from "./parked-redis.ts";

const reply = { verdicts: [], cancel: [] };
const answered: ParkedOutcome = { outcome: "answered", reply };
const claim: ClaimRef = { id: "id", token: "token" };

/** Time that passes as fast as it is waited for. */
function fastClock() {
  let nowMs = 0;
  const timers = new Set<{ atMs: number; run(): void }>();
  return {
    nowMs: () => nowMs,
    after(delayMs: number, run: () => void) {
      const timer = { atMs: nowMs + delayMs, run };
      timers.add(timer);
      setImmediate(() => {
        if (!timers.delete(timer)) return;
        nowMs = Math.max(nowMs, timer.atMs);
        run();
      });
      return () => void timers.delete(timer);
    },
  };
}

let calls: unknown[];
let sent: PoolMessage[];
let canceled: ClaimRef[];
let isOpen: boolean;
let polled: { outcome: ParkedOutcome | null; stop: ClaimRef[] };
let onSend: (message: PoolMessage) => void;

const redis: ParkedRedis = {
  async park(n, body, options) {
    calls.push({ n, body, ...options });
  },
  async poll() {
    calls.push("poll");
    return polled;
  },
  async beat(leaseSeconds) {
    calls.push({ leaseSeconds });
    return [claim];
  },
};

function carrier(): KvCarrier {
  return new KvCarrier({
    redis,
    clock: fastClock(),
    hello: { prefix: "p:", probe: "probe" },
    channel: () => ({
      get open() {
        return isOpen;
      },
      leaseMs: 15_000,
      send(message) {
        sent.push(message);
        onSend(message);
      },
    }),
    onCancel: (claims) => canceled.push(...claims),
    renewProbe: () => calls.push("probe"),
  });
}

beforeEach(() => {
  calls = [];
  sent = [];
  canceled = [];
  isOpen = true;
  polled = { outcome: null, stop: [] };
  onSend = () => {};
});

describe("KvCarrier", () => {
  it("parks, tells the edge, and takes the answer from the channel without asking Redis", async () => {
    const way = carrier();
    onSend = () => way.settled({ type: "settled", n: 1, outcome: answered });
    expect(await way.carry("{}", 1)).toEqual(reply);
    expect(calls).toEqual([{ n: 1, body: "{}", before: null, leaseSeconds: null }]);
    expect(sent).toEqual([{ type: "parked", n: 1 }]);
  });

  it("without a channel looks for the answer, holds the lease, and stops what is to be stopped", async () => {
    isOpen = false;
    polled = { outcome: answered, stop: [claim] };
    expect(await carrier().carry("{}", 1)).toEqual(reply);
    expect(calls).toEqual([{ n: 1, body: "{}", before: null, leaseSeconds: 15 }, "poll"]);
    expect([sent, canceled]).toEqual([[], [claim]]);
  });

  it("says it again to an edge that does not answer, then parks anew in its place", async () => {
    const way = carrier();
    await expect(way.carry("{}", 1)).rejects.toThrow(TransportError);
    expect(sent.length).toBeGreaterThan(2);
    onSend = () => way.settled({ type: "settled", n: 2, outcome: answered });
    // An answer that comes too late is nobody's.
    way.settled({ type: "settled", n: 1, outcome: { outcome: "missing" } });
    await way.carry("{2}", 1);
    expect(calls.at(-1)).toEqual({ n: 2, body: "{2}", before: 1, leaseSeconds: null });
    await way.carry("{3}", 1).catch(() => {});
    expect(calls.at(-1)).toEqual({ n: 3, body: "{3}", before: null, leaseSeconds: null });
  });

  it("tells it as soon as the channel opens", async () => {
    isOpen = false;
    const way = carrier();
    onSend = () => way.settled({ type: "settled", n: 1, outcome: answered });
    const carried = way.carry("{}", 1);
    await new Promise((resolve) => setImmediate(resolve));
    isOpen = true;
    way.channelOpened();
    expect(await carried).toEqual(reply);
  });

  it("carries a refusal with its status, and a loss as one", async () => {
    const way = carrier();
    onSend = () => way.settled({ type: "settled", n: 1, outcome: { outcome: "refused", status: 422, message: "no" } });
    const refused = way.carry("{}", 1);
    await expect(refused).rejects.toThrow(StatusError);
    await expect(refused).rejects.toMatchObject({ status: 422 });
    onSend = () => way.settled({ type: "settled", n: 2, outcome: { outcome: "missing" } });
    await expect(way.carry("{}", 1)).rejects.toThrow("has lost what was parked");
  });

  it("beats without parking anything", async () => {
    expect(await carrier().carry("{}", 0)).toEqual(reply);
    expect([calls, canceled, sent]).toEqual([[{ leaseSeconds: 15 }], [claim], []]);
  });

  it("tells what does not fit from the edge's welcome", () => {
    const welcome = { type: "welcome", leaseMs: 1, eventsOpen: true } as const;
    expect(carrier().misfit(welcome)).toMatchObject({ final: true });
    expect(carrier().misfit({ ...welcome, kv: { problem: null, final: false } })).toBeNull();
    expect(carrier().misfit({ ...welcome, kv: { problem: "away", final: false } })).toEqual({
      problem: "away",
      final: false,
    });
  });
});
