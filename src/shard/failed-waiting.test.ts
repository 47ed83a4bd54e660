/** A prediction that has ended leaves its lane, too, though messages were lost: only its shard can tell the lane. */
import { expect, it } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import type { PredictionError } from "../contract/prediction.ts";
import { LaneCore } from "../lane/core.ts";
import { ShardCore } from "./core.ts";
import { defaultRules } from "./rules.ts";

const LANE = "default";
const REFUSED: PredictionError = { code: "setup_failed", message: "No machine runs this model." };

function setUp() {
  const now = () => 1_700_000_000_000;
  const sql = memorySql();
  const newShard = () => new ShardCore(sql, { rules: defaultRules, now, newToken: () => "token" });
  const lane = new LaneCore(memorySql(), { now });
  const exchange = (shard: ShardCore) => {
    const { hands, withdrawals } = shard.outgoing;
    lane.withdraw(withdrawals.get(LANE) ?? []);
    const { failed } = lane.offer([...(hands.get(LANE)?.values() ?? [])]);
    for (const news of [hands, withdrawals]) news.delete(LANE);
    for (const [id, error] of Object.entries(failed)) shard.granting.failWaiting([id], error);
  };
  const shard = newShard();
  return { shard, lane, newShard, exchange: (one = shard) => exchange(one) };
}

it("leaves its lane when the lane has it failed, so that nobody is asked for a machine for it", () => {
  const { shard, lane, exchange } = setUp();
  shard.submit(submission("p1"));
  exchange();
  expect(lane.stats().waiting.normal).toBe(1);
  shard.granting.failWaiting(["p1"], REFUSED);
  exchange();
  expect(shard.snapshot("p1", null)?.status).toBe("failed");
  expect(lane.stats().waiting.normal).toBe(0);
});

it("leaves its lane when its last pool says behind the loss of its lease that the input is at fault", () => {
  const { shard, lane, exchange } = setUp();
  shard.submit(submission("p1"));
  shard.claim({ session: "s1", jobs: [{ id: "p1", startNow: true }] }, [LANE]);
  shard.judge("s1", ["p1"], { alive: false, remainingMs: 0 });
  exchange();
  expect(lane.stats().waiting.normal).toBe(1);
  const error: PredictionError = { code: "model_error", message: "no such file" };
  shard.deliver([{ id: "p1", token: "token", seq: 0, type: "failed", kind: "input", error }], "s1", [LANE]);
  exchange();
  expect(shard.snapshot("p1", null)?.status).toBe("failed");
  expect(lane.stats().waiting.normal).toBe(0);
});

it.each([
  ["has room for it", (shard: ShardCore) => shard.granting.push("s1", ["p1"])],
  ["has it failed", (shard: ShardCore) => shard.granting.failWaiting(["p1"], REFUSED)],
])("leaves a lane that %s, though its shard ended before it could say that it was canceled", (_how, offer) => {
  const { shard, lane, newShard, exchange } = setUp();
  shard.submit(submission("p1"));
  exchange();
  shard.cancel("p1", "account");
  const reborn = newShard();
  exchange(reborn);
  expect(lane.stats().waiting.normal).toBe(1);
  offer(reborn);
  exchange(reborn);
  expect(reborn.snapshot("p1", null)?.status).toBe("canceled");
  expect(lane.stats().waiting.normal).toBe(0);
});
