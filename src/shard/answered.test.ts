/** Predictions that a plugin answers end as they are accepted. */
import { expect, it } from "vitest";
import type { Answer } from "../../plugins/kernel/phases.ts";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import { newPredictionId } from "../contract/ids.ts";
import type { PoolEvent } from "../contract/event.ts";
import { ShardCore } from "./core.ts";
import { publishedRecords } from "./published-records.ts";
import { defaultRules } from "./rules.ts";
import type { Submission } from "./types.ts";

const HOOK = { webhook: "https://example.com/hook" };
const limit = { plugin: "rate-limit", service: "allowance" as const, id: "r1", data: null };
const toRemember = { plugin: "response-cache", service: "responses" as const, id: "r2", data: { key: "k" } };

function shard() {
  const sql = memorySql();
  const deps = { rules: defaultRules, now: () => 1_700_000_000_000, newToken: () => "token", publishes: true };
  const core = new ShardCore(sql, deps);
  const submit = (changes: Partial<Submission>, id = newPredictionId(1)) => {
    const submitted = core.submit({ ...submission(id), ...changes });
    return { id, created: submitted?.created, row: core.store.get(id) };
  };
  const reopen = () => new ShardCore(sql, deps);
  return { core, submit, reopen };
}

const answer: Answer = { output: "known", yielded: false };

it("have a row as others have, without a start", () => {
  const { core, submit, reopen } = shard();
  const { id, created, row } = submit({ answer, verdicts: [] });
  expect(created).toBe(true);
  expect(row).toMatchObject({
    ...{ state: "succeeded", output: "known", attempt: 0, startedAt: null, token: null, error: null },
    ...{ metrics: { cached: true, predict_time: 0, total_time: 0 }, completedAt: 1_700_000_000_000 },
  });
  expect(reopen().snapshot(id, "account")).toMatchObject({ status: "succeeded", output: "known" });
  // No lane and no pool hears of them; lists do.
  expect([core.outgoing.hands.size, core.outgoing.withdrawals.size, core.outgoing.grants.size]).toEqual([0, 0, 0]);
  expect(core.outgoing.feeds.get("account")).toMatchObject([{ id }]);
  expect(core.claim({ session: "s", jobs: [{ id, startNow: true }] }, ["default"])).toMatchObject([
    { verdict: "refused", reason: "terminal" },
  ]);
});

it("are published as results, and not as usage", () => {
  const { submit } = shard();
  const { row } = submit({ answer });
  const topics = new Set(["results", "usage", "jobs.dlq"] as const);
  const records = publishedRecords(row as never, { topics, withOutput: true, problem: null });
  expect(records.map(({ topic }) => topic)).toEqual(["results"]);
  expect(JSON.parse(records[0]?.value ?? "")).toMatchObject({ status: "succeeded", attempt: 0, output: "known" });
});

it.each<[Submission["webhookEvents"], string[]]>([
  [["start", "output", "logs", "completed"], ["completed"]],
  [["output"], ["output"]],
  [["start"], []],
])("tell receivers of %j once: %j", (webhookEvents, told) => {
  for (const given of [answer, { output: ["a", "b"], yielded: true }]) {
    const { core, submit } = shard();
    submit({ answer: given, ...HOOK, webhookEvents });
    expect(core.store.webhooks(10, null).map(({ event }) => event)).toEqual(told);
  }
});

it("are read as a stream in the pieces that the model yielded", () => {
  const { core, submit } = shard();
  const outputs = (given: Answer) => {
    const { id } = submit({ answer: given, stream: true, iterates: true });
    const { frames = [], finished } = core.frames(id, "account", -1) ?? {};
    expect([finished, frames.at(-1)]).toMatchObject([true, { type: "completed", data: { status: "succeeded" } }]);
    return frames.filter(({ type }) => type === "output").map(({ data }) => data);
  };
  expect(outputs({ output: ["a", "b"], yielded: true })).toEqual(["a", "b"]);
  expect(outputs({ output: ["a", "b"], yielded: false })).toEqual([["a", "b"]]);
});

it("give back what was reserved, as what never ran", () => {
  const { core, submit } = shard();
  const { id } = submit({ answer, reservations: [limit] });
  expect(core.settlement.take("allowance", 10)).toMatchObject([{ id: "r1", how: "release", status: "succeeded" }]);
  core.settlement.settled([{ ...limit, predictionId: id } as never]);
  expect(core.store.get(id)?.reservations).toBeNull();
});

it("change nothing of one that was accepted before", () => {
  const { core, submit } = shard();
  const first = submit({ keyed: true });
  expect(submit({ keyed: true, answer }, first.id)).toMatchObject({ created: false, row: { state: "waiting" } });
  expect(core.ended.isPending()).toBe(false);
});

/** What its service is given of a prediction that ran. */
function remembered(...events: object[]) {
  const { core, submit } = shard();
  const { id } = submit({ reservations: [limit, toRemember] });
  core.claim({ session: "s", jobs: [{ id, startNow: true }] }, ["default"]);
  core.deliver(
    events.map((event, seq) => ({ id, token: "token", seq, ...event }) as PoolEvent),
    "s",
    ["default"],
  );
  expect(core.settlement.take("allowance", 10)[0]).not.toHaveProperty("answer");
  return core.settlement.take("responses", 10)[0]?.answer;
}

it("know where they are remembered, and remember nothing that was removed", () => {
  const { core, submit } = shard();
  const { id } = submit({ reservations: [toRemember], responseKey: "k" });
  core.claim({ session: "s", jobs: [{ id, startNow: true }] }, ["default"]);
  core.deliver([{ id, token: "token", seq: 0, type: "succeeded", output: "o" }], "s", ["default"]);
  expect(core.removeData(id, "account")?.traces).toMatchObject({ responseKey: "k" });
  core.settlement.take("responses", 10);
  const row = core.store.get(id);
  if (row === null) throw new Error("the row is gone");
  core.settlement.again({ ...row, handAt: 0 });
  expect(core.settlement.take("responses", 10)[0]).not.toHaveProperty("answer");
});

it("are made of outputs that a model gave, whole, inline and small", () => {
  const chunk = (text: string) => ({ type: "output", chunk: text });
  expect(remembered({ type: "succeeded", output: { a: 1 } })).toEqual({ output: { a: 1 }, yielded: false });
  expect(remembered(chunk("a"), chunk("b"), { type: "succeeded", output: ["a", "b"] })).toEqual({
    ...{ output: ["a", "b"], yielded: true },
  });
  expect(remembered({ type: "succeeded", output: "x".repeat(200_000) })).toBeUndefined();
  expect(remembered({ type: "succeeded", outputBlob: "outputs/somewhere" })).toBeUndefined();
  const error = { code: "model_error", message: "no" };
  expect(remembered(chunk("a"), { type: "failed", kind: "model", error })).toBeUndefined();
});
