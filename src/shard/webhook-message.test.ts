/** Which webhooks a prediction's receiver gets, by what it asked for. */
import { expect, it } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import type { PoolEvent } from "../contract/event.ts";
import { newPredictionId } from "../contract/ids.ts";
import type { WebhookEvent } from "../contract/prediction.ts";
import { ShardCore } from "./core.ts";
import { defaultRules } from "./rules.ts";

function setUp(webhookEvents: WebhookEvent[]) {
  const clock = { now: 1_000_000 };
  const deps = { rules: defaultRules, now: () => clock.now, newToken: () => "token" };
  const core = new ShardCore(memorySql(), deps);
  const id = newPredictionId(1);
  core.submit({ ...submission(id), webhook: "https://example.com/hook", webhookEvents });
  core.claim({ session: "session", jobs: [{ id, startNow: true }] }, ["default"]);
  let seq = 0;
  return {
    clock,
    send(...events: Record<string, unknown>[]) {
      const numbered = events.map((event) => ({ id, token: "token", seq: seq++, ...event }) as PoolEvent);
      core.deliver(numbered, "session", ["default"]);
    },
    cancel: () => core.cancel(id, "account"),
    told: () =>
      core.store
        .webhooks(100, null)
        .map(({ event, snapshot }) => [event, snapshot.status, snapshot.output, snapshot.logs]),
  };
}

const output = (chunk: string) => ({ type: "output", chunk });
const log = (text: string) => ({ type: "log", text });

it("tells the output of a model that is no iterator to whoever asked for `output` alone, once", () => {
  const { send, told } = setUp(["output"]);
  send({ type: "succeeded", output: { text: "whole" } });
  // What the run measured may come behind its end, and is stored with it.
  send({ type: "succeeded", metrics: { more: 1 } });
  expect(told()).toEqual([["output", "succeeded", { text: "whole" }, ""]]);
});

it("tells an output that is stored apart", () => {
  const { send, told } = setUp(["output"]);
  send({ type: "succeeded", outputBlob: "predictions/x/output/token/output.json" });
  expect(told()).toEqual([["output", "succeeded", null, ""]]);
});

it("tells the last chunks and lines, which come with the end", () => {
  const { send, told, clock } = setUp(["output", "logs"]);
  send(output("a"), log("one\n"));
  clock.now += 1000;
  send(output("b"), log("two\n"));
  clock.now += 1;
  send(output("c"), log("three\n"), { type: "succeeded", output: ["a", "b", "c"] });
  const whole = ["succeeded", ["a", "b", "c"], "one\ntwo\nthree\n"];
  expect(told().slice(-2)).toEqual([
    ["logs", ...whole],
    ["output", ...whole],
  ]);
});

it("tells nothing at the end that was told before, and no output where there is none", () => {
  const { send, told, clock, cancel } = setUp(["output", "logs"]);
  send(output("a"));
  clock.now += 1000;
  send(output("b"));
  const before = told();
  cancel();
  expect(told()).toEqual(before);
  const failed = setUp(["output"]);
  failed.send({ type: "failed", kind: "model", error: { code: "model_error", message: "no" } });
  expect(failed.told()).toEqual([]);
});

it("tells the end once to whoever asked for `completed`", () => {
  const { send, told } = setUp(["start", "output", "logs", "completed"]);
  send(output("a"), log("line"), { type: "succeeded", output: ["a"] });
  expect(told().map(([event]) => event)).toEqual(["completed", "start"]);
});
