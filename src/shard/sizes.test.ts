import { expect, it } from "vitest";
import { smallRowsSql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import type { PoolEvent } from "../contract/event.ts";
import { newPredictionId } from "../contract/ids.ts";
import { ShardCore } from "./core.ts";
import { defaultRules } from "./rules.ts";
import { newRow } from "./new-row.ts";
import { snapshotOf } from "./row.ts";
import { fitting, listed } from "./sizes.ts";

it("keeps of metrics what fits into a row, counted as JSON", () => {
  const core = new ShardCore(smallRowsSql(), { rules: defaultRules, now: () => 1_000_000, newToken: () => "token" });
  const id = newPredictionId(1);
  core.submit(submission(id));
  core.claim({ session: "session", jobs: [{ id, startNow: true }] }, ["default"]);
  const claim = { id, token: "token" };
  const metrics = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`m${index}`, "\u0001".repeat(4000)]));
  const deliver = (event: PoolEvent) => core.deliver([event], "session", ["default"]).verdicts;
  deliver({ ...claim, seq: 0, type: "metric", metrics: { ...metrics, short: "\u0001" } });
  deliver({ ...claim, seq: 1, type: "succeeded", output: "done" });
  expect(core.store.get(id)).toMatchObject({ state: "succeeded", output: "done", metrics: { short: "\u0001" } });
});

it("ends a prediction whose parts fit into its row and whose whole does not", () => {
  const core = new ShardCore(smallRowsSql(), { rules: defaultRules, now: () => 1_000_000, newToken: () => "token" });
  const id = newPredictionId(1);
  core.submit(submission(id));
  core.claim({ session: "session", jobs: [{ id, startNow: true }] }, ["default"]);
  const claim = { id, token: "token" };
  const reply = core.deliver(
    [
      { ...claim, seq: 0, type: "log", text: "\u65e5".repeat(250_000) },
      { ...claim, seq: 1, type: "succeeded", output: "\u65e5".repeat(495_000) },
    ],
    "session",
    ["default"],
  );
  expect(reply.verdicts).toMatchObject([{ verdict: "ok" }]);
  expect(core.store.get(id)).toMatchObject({ state: "failed", output: null, error: { code: "model_error" } });
});

it("makes a failure of an output that is too large, which tells what its run took all the same", () => {
  const usage = { device: "cpu", queuedMs: 0, runMs: 1, gpuUs: 1000 };
  const claim = { id: "p", token: "token", seq: 0 };
  const large = "x".repeat(1_500_001);
  expect(fitting({ ...claim, type: "succeeded", output: large, usage })).toMatchObject({ type: "failed", usage });
});

it("shows a prediction in a list without its logs, and without what is large", () => {
  const row = newRow(submission("p"), 1_000_000, defaultRules);
  const one = {
    ...snapshotOf(row, null),
    logs: "line",
    output: "o".repeat(65_536),
    metrics: { predict_time: 1, m: "m" },
  };
  expect(listed(one)).toEqual({ ...one, logs: "" });
  const large = { ...one, output: `${one.output}o`, metrics: { ...one.metrics, m: "m".repeat(16_384) } };
  expect(listed(large)).toEqual({ ...large, logs: "", output: null, metrics: { predict_time: 1 } });
});
