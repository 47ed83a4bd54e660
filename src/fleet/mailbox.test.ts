import { beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { EdgeplaneError } from "../contract/errors.ts";
import type { EventsReply, EventsRequest } from "../contract/event.ts";
import { parkedKeys } from "../contract/parked.ts";
import type { ParkedOutcome } from "../contract/parked.ts";
import { Mailbox } from "./mailbox.ts";
import type { ParkedStore } from "./parked-store.ts";

const session = "session-1";
const reply: EventsReply = { verdicts: [], cancel: [] };

let parked: Map<number, string>;
let answers: Map<number, ParkedOutcome>;
let told: [number, ParkedOutcome["outcome"]][];
let received: EventsRequest[];
let isOpen: boolean;
let isAway: boolean;
let refuse: EdgeplaneError | Error | null;
let arrivesWithPause: (() => void) | null;
let isHung: boolean;

const store: ParkedStore = {
  async read() {
    if (isAway) throw new Error("away");
    const list = [...parked].map(([n, body]) => ({ n, body }));
    return { parked: list.toSorted((a, b) => a.n - b.n), aliveMs: 0 };
  },
  async remove(_keys, numbers) {
    for (const n of numbers) parked.delete(n);
  },
  async answer(_keys, n, outcome) {
    parked.delete(n);
    answers.set(n, outcome);
  },
  async stop() {},
  async probe() {
    return null;
  },
};

function mailbox(): Mailbox {
  return new Mailbox({
    store,
    keys: parkedKeys("p:", session),
    session,
    async receive(request) {
      received.push(request);
      if (isHung) await new Promise<never>(() => {});
      if (refuse !== null) throw refuse;
      return reply;
    },
    tell(n, { outcome }) {
      if (isOpen) told.push([n, outcome]);
      return isOpen;
    },
    async pause() {
      arrivesWithPause?.();
    },
  });
}

const park = (n: number, body: unknown = { session, events: [] }) => parked.set(n, JSON.stringify(body));

beforeEach(() => {
  parked = new Map();
  answers = new Map();
  told = [];
  received = [];
  isOpen = true;
  isAway = false;
  refuse = null;
  arrivesWithPause = null;
  isHung = false;
});

describe("Mailbox", () => {
  it("gives a delivery up that is never answered, and makes it again: who ends the session waits for it", async () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    park(1);
    isHung = true;
    const box = mailbox();
    const collected = box.collect();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(box.isCollecting).toBe(false);
    await collected;
    isHung = false;
    await box.collect();
    expect(told).toEqual([[1, "answered"]]);
  });

  it("delivers what it hears of, answers through the channel and takes it out", async () => {
    park(1);
    await mailbox().noticed(1);
    expect([told, received.length, parked.size, answers.size]).toEqual([[[1, "answered"]], 1, 0, 0]);
  });

  it("puts U+FFFD in place of half a surrogate pair", async () => {
    park(1, { session, events: [{ id: "p", token: "t", seq: 0, type: "log", text: "cut \ud83d" }] });
    await mailbox().collect();
    expect(received[0]?.events).toMatchObject([{ text: "cut \ufffd" }]);
  });

  it("leaves the answer in Redis while the channel is down", async () => {
    isOpen = false;
    park(1);
    await mailbox().collect();
    expect([told, parked.size, answers.get(1)]).toEqual([[], 0, { outcome: "answered", reply }]);
  });

  it("delivers in the order of the numbers, and once what collections meet in", async () => {
    park(2, { session, events: [], mark: 2 });
    park(1);
    const box = mailbox();
    await Promise.all([box.collect(), box.noticed(2), box.collect()]);
    expect(told).toEqual([
      [1, "answered"],
      [2, "answered"],
    ]);
    expect(received).toHaveLength(2);
  });

  it("tells again what it settled before, without delivering it again", async () => {
    park(1);
    const box = mailbox();
    isOpen = false;
    await box.collect();
    isOpen = true;
    await box.noticed(1);
    expect([told, received.length]).toEqual([[[1, "answered"]], 1]);
  });

  it("waits for a replica, and says what is missing when it stays so", async () => {
    arrivesWithPause = () => park(1);
    await mailbox().noticed(1);
    expect(told).toEqual([[1, "answered"]]);
    told = [];
    arrivesWithPause = null;
    await mailbox().noticed(1);
    expect(told).toEqual([[1, "missing"]]);
  });

  it.each([
    ["no JSON", "{"],
    ["no events", JSON.stringify({ session })],
    ["a list with a length of its own", `{"session":"${session}","events":{"length":{"toString":1}}}`],
    ["another session's", JSON.stringify({ session: "session-2", events: [] })],
  ])("refuses what is %s", async (_what, body) => {
    parked.set(1, body);
    await mailbox().noticed(1);
    expect([told, received.length, parked.size]).toEqual([[[1, "refused"]], 0, 0]);
  });

  it("refuses for good what the edge refuses, and keeps what it may take later", async () => {
    park(1);
    refuse = new EdgeplaneError("forbidden", "not yours");
    await mailbox().noticed(1);
    expect([told, parked.size]).toEqual([[[1, "refused"]], 0]);
    park(2);
    refuse = new EdgeplaneError("guard_unavailable", "a guard is away");
    await mailbox().noticed(2);
    expect([told.at(-1), parked.size]).toEqual([[2, "refused"], 1]);
    refuse = new Error("no database");
    told = [];
    const box = mailbox();
    await box.collect();
    expect([told, parked.size]).toEqual([[], 1]);
    refuse = null;
    await box.noticed(2);
    expect([told, parked.size]).toEqual([[[2, "answered"]], 0]);
  });

  it("throws while Redis is away, and goes on after", async () => {
    const box = mailbox();
    park(1);
    isAway = true;
    await expect(box.collect()).rejects.toThrow("away");
    await expect(box.noticed(1)).rejects.toThrow("away");
    isAway = false;
    await box.noticed(1);
    expect(told).toEqual([[1, "answered"]]);
  });
});
