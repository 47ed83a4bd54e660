import { expect, it, vi } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import type { Env } from "../env.ts";
import type { LaneNews, OfferReply } from "../lane/types.ts";
import { ShardCore } from "./core.ts";
import { createLaneCourier } from "./lane-courier.ts";
import { createOutgoing, MAX_HANDS, MAX_NEWS } from "./outgoing.ts";
import { defaultRules } from "./rules.ts";

/** A shard whose lanes take what they are told unless they are away. */
function setUp() {
  const clock = { now: 1_000_000 };
  const core = new ShardCore(memorySql(), { rules: defaultRules, now: () => clock.now, newToken: () => "token" });
  const away = new Set<string>();
  const taken = new Map<string, Set<string>>();
  /** How many entries each call brought. */
  const calls: number[] = [];
  const exchange = async (lane: string, { entries }: LaneNews): Promise<OfferReply> => {
    if (away.has(lane)) throw new Error("away");
    calls.push(entries.length);
    const ids = taken.get(lane) ?? new Set<string>();
    taken.set(lane, ids);
    for (const { id } of entries) ids.add(id);
    return { tickets: {}, failed: {}, full: {}, view: { models: [], served: {} } };
  };
  const env = { LANE: { getByName: () => ({ exchange }) } } as unknown as Env;
  const courier = createLaneCourier(env, core);
  const submit = (lane: string, from: number, count: number): string[] =>
    Array.from({ length: count }, (_, index) => {
      const id = `${lane}-${String(from + index).padStart(6, "0")}`;
      clock.now += 1;
      core.submit({ ...submission(id), lane });
      return id;
    });
  const takenBy = (lane: string) => [...(taken.get(lane) ?? [])].toSorted();
  return { core, clock, away, courier, submit, takenBy, calls };
}

it("keeps a bounded number for a lane that is away, and hands on all when it is back, without a sweep", async () => {
  const { core, away, courier, submit, takenBy } = setUp();
  away.add("gone");
  const first = submit("gone", 0, 5000);
  const others = submit("here", 0, 500);
  courier.kick();
  await expect.poll(() => takenBy("here")).toEqual(others);
  const second = submit("gone", 5000, 1500);
  expect(core.outgoing.hands.get("gone")?.size).toBeLessThanOrEqual(MAX_HANDS + 500);
  expect(courier.isPending()).toBe(true);
  away.clear();
  courier.kick();
  await expect.poll(() => takenBy("gone")).toEqual([...first, ...second]);
  await expect.poll(() => courier.isPending()).toBe(false);
});

it("hands on what was put off by its sweep while the rows were read", async () => {
  const { core, clock, away, courier, submit, takenBy } = setUp();
  away.add("gone");
  const ids = submit("gone", 0, 4000);
  clock.now += defaultRules.sweepMs + 1;
  while (core.wake().more);
  away.clear();
  courier.kick();
  await expect.poll(() => takenBy("gone")).toEqual(ids);
});

it("asks for the ticket of a prediction that it has forgotten, when somebody asks for its place", async () => {
  const { core, courier, submit, takenBy } = setUp();
  const [asked = ""] = submit("here", 0, 2);
  core.outgoing.hands.clear();
  const prediction = core.snapshot(asked, null);
  if (prediction === null) throw new Error("not there");
  await courier.refresh(prediction, 0);
  expect(takenBy("here")).toEqual([asked]);
});

it("hands on one that comes alone at once, and gathers while many come", async () => {
  const { courier, submit, calls } = setUp();
  const offer = async (from: number, count: number) => {
    submit("here", from, count);
    courier.kick();
    await Promise.resolve();
  };
  await offer(0, 1);
  expect(calls).toEqual([1]);
  await expect.poll(() => courier.isPending()).toBe(false);
  await offer(1, 10);
  expect(calls).toEqual([1, 10]);
  await expect.poll(() => courier.isPending()).toBe(false);
  for (let from = 11; from < 14; from += 1) await offer(from, 1);
  expect(calls).toEqual([1, 10]);
  await expect.poll(() => calls).toEqual([1, 10, 3]);
});

it("keeps a bounded number of what waits no longer for a lane that is away", () => {
  const { core, submit } = setUp();
  const [id = ""] = submit("gone", 0, 1);
  const row = core.store.get(id);
  if (row === null) throw new Error("not there");
  const outgoing = createOutgoing();
  for (let count = 0; count < MAX_NEWS + 100; count += 1) {
    outgoing.withdraw(row);
    outgoing.noteGranted(row, "session");
    outgoing.unuse("gone", id);
  }
  for (const kept of [outgoing.withdrawals, outgoing.granted, outgoing.unused])
    expect(kept.get("gone")).toHaveLength(MAX_NEWS);
});

it("says that a prediction came back until its lane has heard it, though a sweep offers it again meanwhile", async () => {
  const { core, away, courier, submit } = setUp();
  away.add("gone");
  const [id = ""] = submit("gone", 0, 1);
  core.claim({ session: "s", jobs: [{ id, startNow: false }] }, ["gone"]);
  core.deliver([{ id, token: "token", seq: 0, type: "released", reason: "unseen" }], "s", ["gone"]);
  const offers = () => [...(core.outgoing.hands.get("gone")?.values() ?? [])];
  expect(offers()).toMatchObject([{ id, isBack: true }]);
  courier.kick();
  expect(offers()).toEqual([]);
  const row = core.store.get(id);
  if (row === null) throw new Error("not there");
  core.outgoing.hand(row);
  expect(offers()).toEqual([expect.not.objectContaining({ isBack: true })]);
  await expect.poll(offers).toMatchObject([{ id, isBack: true }]);
  away.clear();
  courier.kick();
  await expect.poll(() => courier.isPending()).toBe(false);
});

it("tells its lane who waits no longer, though the clock is set back while the news waits for company", async () => {
  vi.useFakeTimers();
  try {
    const { core, courier, submit } = setUp();
    const [id = ""] = submit("here", 0, 1);
    core.outgoing.hands.clear();
    core.cancel(id, "account");
    courier.kick();
    vi.setSystemTime(Date.now() - 600_000);
    await vi.advanceTimersByTimeAsync(1000);
    courier.kick();
    await vi.advanceTimersByTimeAsync(1000);
    expect(core.outgoing.withdrawals.size).toBe(0);
  } finally {
    vi.useRealTimers();
  }
});

it("tells a lane again that never answers, and keeps nobody waiting for a place in it", async () => {
  vi.useFakeTimers();
  try {
    const core = new ShardCore(memorySql(), { rules: defaultRules, now: Date.now, newToken: () => "token" });
    const taken: string[] = [];
    let isHung = true;
    const exchange = async (_lane: string, { entries }: LaneNews): Promise<OfferReply> => {
      if (isHung) await new Promise<never>(() => {});
      taken.push(...entries.map(({ id }) => id));
      return { tickets: {}, failed: {}, full: {}, view: { models: [], served: {} } };
    };
    const courier = createLaneCourier({ LANE: { getByName: () => ({ exchange }) } } as unknown as Env, core);
    core.submit(submission("p1"));
    courier.kick();
    const snapshot = core.snapshot("p1", null);
    const shown = snapshot === null ? null : courier.refresh(snapshot, 0).then(() => "shown");
    await vi.advanceTimersByTimeAsync(5000);
    expect(await Promise.race([shown, Promise.resolve("waits")])).toBe("shown");
    isHung = false;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(taken).toContain("p1");
  } finally {
    vi.useRealTimers();
  }
});
