/** The lane as an object in workerd: what it does while its log hangs, and with pools that are gone without a word. */
import { env } from "cloudflare:workers";
import { expect, it, vi } from "vitest";
import { newPredictionId } from "../contract/ids.ts";
import type { Env } from "../env.ts";
import { LogBroker } from "../log/broker.ts";
import { failure } from "../log/protocol.ts";
import type { LaneEntry } from "./types.ts";

const edge = env as Env;
const NOTHING = { entries: [], withdrawn: [], claimed: [] };

const entry = (): LaneEntry => ({
  id: newPredictionId(16),
  tenant: "t",
  priority: "normal",
  cost: 1,
  model: "local/echo",
  version: "v",
  startBy: Date.now() + 60_000,
  traceparent: null,
  front: false,
});

it("answers who asks for a place while its log does not answer", async () => {
  const { promise: hung, resolve: goOn } = Promise.withResolvers<void>();
  const produce = vi.spyOn(LogBroker.prototype, "produce").mockImplementation((async () => {
    await hung;
    return failure("unavailable", "was away");
  }) as never);
  const lane = edge.LANE.getByName("hangs");
  const handed = lane.exchange("hangs", { ...NOTHING, entries: [entry()] });
  await expect.poll(() => produce.mock.calls.length).toBe(1);
  const asked = lane.exchange("hangs", NOTHING);
  expect(await Promise.race([asked, scheduler.wait(1000)])).toMatchObject({ tickets: {}, stats: { released: 1 } });
  produce.mockRestore();
  goOn();
  await handed;
  await expect.poll(async () => (await lane.stats()).heads).toEqual((await lane.stats()).tails);
});

it("no longer counts on a pool that it nudges in vain", async () => {
  const lane = edge.LANE.getByName("haunted");
  await lane.setPool("haunted", { session: "session-ghost", slots: 4, maxBatchSize: 8 });
  expect((await lane.stats()).window).toBe(128);
  await lane.exchange("haunted", { ...NOTHING, entries: [entry()] });
  await expect.poll(async () => (await lane.stats()).pools).toBe(0);
});
