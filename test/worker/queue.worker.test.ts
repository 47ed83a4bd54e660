/** The plugin `queue` over the lane objects. */
import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { aCall } from "../../plugins/kernel/conformance.ts";
import { buildSnapshot } from "../../plugins/kernel/snapshot.ts";
import { queue } from "../../plugins/queue/queue.ts";
import type { Env } from "../../src/env.ts";
import { createServices } from "../../src/settings/services.ts";

const edge = env as Env;

async function admit(config: object, lane: string) {
  const snapshot = await buildSnapshot(1, [queue], { queue: { config } }, createServices(edge));
  const call = aCall();
  const principal = { ...call.principal, accountId: `account of ${lane}` };
  return snapshot.hooks.admit[0]?.run({ ...call, lane, principal });
}

it("goes by what waits in the lane, of the model and of the account", async () => {
  const { model } = aCall();
  const entries = [1, 2, 3].map((n) => ({
    ...{ id: `waiting${n}`, account: "account of counted", weight: 1, priority: "normal" as const, cost: 1 },
    ...{ model: `${model.owner}/${model.name}`, version: model.version, traceparent: null },
    ...{ createdAt: Date.now() + n, startBy: Date.now() + 60_000 },
  }));
  const news = { entries, withdrawn: [], granted: [], unused: [], asked: [] };
  await edge.LANE.getByName("counted").exchange("counted", news);
  expect(await admit({ waiting: 4, depth: 4 }, "counted")).toEqual({ verdict: "continue" });
  expect(await admit({ waiting: 3 }, "counted")).toMatchObject({ code: "queue_full" });
  expect(await admit({ depth: 3 }, "counted")).toMatchObject({ code: "lane_full" });
  // No pool serves it: nobody knows how long it takes.
  expect(await admit({ maxWaitMs: 0 }, "counted")).toEqual({ verdict: "continue" });
});

it("lets exactly as many be unfinished as an account may have, however many come at once", async () => {
  const verdicts = await Promise.all(Array.from({ length: 30 }, async () => admit({ unfinished: 5 }, "slots")));
  expect(verdicts.filter((one) => one?.verdict === "continue")).toHaveLength(5);
});
