/** What fails while it waits leaves its lane, too: nobody else tells the lane that it is over. */
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
  const clock = { now: 1_700_000_000_000 };
  const now = () => clock.now;
  const shard = new ShardCore(memorySql(), { rules: defaultRules, now, newToken: () => "token" });
  const lane = new LaneCore(memorySql(), { now });
  const exchange = () => {
    const { hands, withdrawals } = shard.outgoing;
    lane.withdraw(withdrawals.get(LANE) ?? []);
    const { failed } = lane.offer([...(hands.get(LANE)?.values() ?? [])]);
    for (const news of [hands, withdrawals]) news.delete(LANE);
    for (const [id, error] of Object.entries(failed)) shard.granting.failWaiting([id], error);
  };
  return { clock, shard, lane, exchange };
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
