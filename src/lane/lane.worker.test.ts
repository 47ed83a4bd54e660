/** The lane as an object in workerd: what it tells pools and shards, and what it knows after its end. */
import { evictDurableObject, runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, it, vi } from "vitest";
import { newPredictionId } from "../contract/ids.ts";
import type { Env } from "../env.ts";
import { PoolSession } from "../fleet/pool-session.ts";
import { Scaler } from "../scaling/object/scaler.ts";
import { PredictionShard } from "../shard/shard.ts";
import type { LaneEntry, LaneNews, RoomReport } from "./types.ts";

const edge = env as Env;
const NOTHING: LaneNews = { entries: [], withdrawn: [], granted: [], unused: [], asked: [] };
const version = { model: "local/echo", version: "v" };

const entry = (): LaneEntry => ({
  id: newPredictionId(16),
  account: "a",
  weight: 1,
  priority: "normal",
  cost: 1,
  ...version,
  createdAt: Date.now(),
  startBy: Date.now() + 60_000,
  traceparent: null,
});

const report = (session: string, n: number, room: number): RoomReport => ({
  ...{ session, n, full: true, seen: [], ended: [] },
  models: [{ ...version, room, startNow: room, readyInMs: 0, problem: null }],
});

it("reserves room that a pool told, and no more", async () => {
  const lane = edge.LANE.getByName("reserves");
  await lane.tell("reserves", report("session-roomy", 1, 2));
  const answers = await lane.reserve("reserves", [entry(), entry(), entry()]);
  expect(answers.map(({ outcome }) => outcome)).toEqual(["reserved", "reserved", "waits"]);
});

it("tells a pool with room that there is work, and pushes what it doesn't fetch", async () => {
  const work = vi.spyOn(PoolSession.prototype, "work").mockResolvedValue();
  const push = vi.spyOn(PredictionShard.prototype, "push").mockReturnValue();
  const lane = edge.LANE.getByName("pushes");
  await lane.tell("pushes", report("session-asleep", 1, 4));
  const waiting = entry();
  await lane.exchange("pushes", { ...NOTHING, entries: [waiting] });
  await expect.poll(() => work.mock.calls.length).toBeGreaterThan(0);
  await expect.poll(() => push.mock.calls).toContainEqual(["session-asleep", [waiting.id]]);
  work.mockRestore();
  push.mockRestore();
});

it("asks the pools that it knew for their room when it starts again", async () => {
  const ask = vi.spyOn(PoolSession.prototype, "askForRoom").mockResolvedValue();
  const lane = edge.LANE.getByName("reborn");
  await lane.tell("reborn", report("session-known", 1, 4));
  await evictDurableObject(lane);
  expect((await lane.reserve("reborn", [entry()]))[0]).toEqual({ outcome: "waits" });
  await expect.poll(() => ask.mock.calls.length).toBeGreaterThan(0);
  await lane.tell("reborn", report("session-known", 2, 4));
  expect((await lane.reserve("reborn", [entry()]))[0]).toEqual({ outcome: "reserved", session: "session-known" });
  ask.mockRestore();
});

it("no longer counts on a pool that is gone without a word", async () => {
  const lane = edge.LANE.getByName("haunted");
  await lane.tell("haunted", report("session-ghost", 1, 4));
  await lane.exchange("haunted", { ...NOTHING, entries: [entry()] });
  await expect.poll(async () => (await lane.stats()).sessions).toBe(0);
});

it("tells the scaler again and again while something waits: it may have forgotten this lane", async () => {
  const told = vi.spyOn(Scaler.prototype, "demand").mockResolvedValue({ everyMs: 0, versions: [] });
  const words = () =>
    told.mock.calls.flatMap(([name, { versions }]) => (name === "forgotten" ? [versions[0]?.waiting.normal] : []));
  const lane = edge.LANE.getByName("forgotten");
  await lane.exchange("forgotten", { ...NOTHING, entries: [entry()] });
  await expect.poll(words).toContain(1);
  const before = words().length;
  await runDurableObjectAlarm(lane);
  await expect.poll(() => words().length).toBeGreaterThan(before);
  told.mockRestore();
});
