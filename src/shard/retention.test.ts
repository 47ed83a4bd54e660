import { expect, it } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import type { Grant } from "../contract/claim.ts";
import type { PoolEvent } from "../contract/event.ts";
import { newPredictionId } from "../contract/ids.ts";
import { ShardCore } from "./core.ts";
import { defaultRules } from "./rules.ts";
import type { Submission } from "./types.ts";

const LANES = ["default"];
const SECRET = "a secret of the input";

/** A prediction that has ended with `end`, in a shard with a clock of its own. */
function ended(
  overrides: Partial<Submission> = {},
  end: Record<string, unknown> = { type: "succeeded", output: SECRET },
) {
  const clock = { now: 1_000_000 };
  const sql = memorySql();
  const core = new ShardCore(sql, { rules: defaultRules, now: () => clock.now, newToken: () => "token" });
  const id = newPredictionId(1);
  core.submit({ ...submission(id), input: { text: SECRET }, ...overrides });
  const [answer] = core.claim({ session: "session-a", jobs: [{ id, startNow: true }] }, LANES);
  const { token } = answer as Grant;
  const events = [{ type: "log", text: SECRET }, end].map((event, seq) => ({ id, token, seq, ...event }) as PoolEvent);
  core.deliver(events, "session-a", LANES);
  const dump = () =>
    JSON.stringify(["prediction", "frame", "webhook_outbox"].map((table) => sql(`SELECT * FROM ${table}`)));
  return { core, clock, id, token, dump };
}

it("keeps the data until its time is over, then names the prediction with its traces", () => {
  const { core, clock, id, dump } = ended({ keyed: false });
  clock.now += defaultRules.retentionMs - 1;
  expect(core.wake().expired).toEqual([]);
  clock.now += 1;
  expect(core.wake().expired).toEqual([
    { id, accountId: "account", createdAt: 1_000_000, webhook: null, hasBlobs: false, responseKey: null },
  ]);
  core.retention.retire(id);
  expect(dump()).toBe("[[],[],[]]");
});

it.each([60_000, 30 * 86_400_000])("keeps it %i ms where the account says so", (retentionMs) => {
  const { core, clock } = ended({ retentionMs });
  clock.now += retentionMs - 1;
  expect(core.wake().expired).toEqual([]);
  clock.now += 1;
  expect(core.wake().expired).toHaveLength(1);
});

it("remembers a client's key for another day, without the data", () => {
  const { core, clock, id, dump } = ended({ stream: true });
  expect(dump()).toContain(SECRET);
  clock.now += defaultRules.retentionMs;
  core.wake();
  core.retention.retire(id);
  expect(dump()).not.toContain(SECRET);
  expect(core.submit({ ...submission(id), input: { text: SECRET } })).toMatchObject({ created: false });
  clock.now += defaultRules.keyMemoryMs - 1;
  core.wake();
  expect(core.store.get(id)).not.toBeNull();
  clock.now += 1;
  core.wake();
  expect(core.store.get(id)).toBeNull();
});

it("tries again later when the traces could not be removed", () => {
  const { core, clock, id } = ended({ keyed: false });
  clock.now += defaultRules.retentionMs;
  core.wake();
  core.retention.postpone(id);
  expect(core.wake().expired).toEqual([]);
  clock.now += defaultRules.sweepMs;
  expect(core.wake().expired).toHaveLength(1);
});

it.each<[string, Partial<Submission>, Record<string, unknown>]>([
  ["an input", { input: null, inputBlob: "predictions/x/input" }, { type: "succeeded", output: 1 }],
  ["an output", {}, { type: "succeeded", outputBlob: "predictions/x/output/token/out" }],
  ["a file", {}, { type: "succeeded", output: ["https://edge.test/v1/outputs/x/token/a.png?signature=s"] }],
])("knows that there are blobs: %s", (_what, overrides, end) => {
  const { core, clock } = ended(overrides, end);
  clock.now += defaultRules.retentionMs;
  expect(core.wake().expired).toMatchObject([{ hasBlobs: true }]);
});

it("knows of blobs that a claim may have left, though the prediction failed", () => {
  const clock = { now: 0 };
  const core = new ShardCore(memorySql(), { rules: defaultRules, now: () => clock.now, newToken: () => "token" });
  const id = newPredictionId(1);
  core.submit(submission(id));
  core.claim({ session: "session-a", jobs: [{ id, startNow: true }] }, LANES);
  expect(core.claimKeptUntil(id, "another")).toBeNull();
  expect(core.claimKeptUntil(id, "token")).toBe(submission(id).totalTimeoutMs + defaultRules.retentionMs);
  core.cancel(id, "account");
  clock.now += defaultRules.retentionMs;
  expect(core.wake().expired).toMatchObject([{ hasBlobs: true }]);
});

it("removes the data on request, and keeps the record until its retention ends", () => {
  const end = { type: "failed", kind: "model", error: { code: "model_error", message: `ValueError: ${SECRET}` } };
  const { core, clock, id, dump } = ended({ webhook: "https://example.com", webhookEvents: ["completed"] }, end);
  expect(core.removeData(id, "another")).toBeNull();
  expect(dump()).toContain(SECRET);
  expect(core.removeData(id, "account")).toMatchObject({
    prediction: { input: null, output: null, logs: "", status: "failed", error: { code: "model_error" } },
    traces: { id, webhook: "https://example.com" },
  });
  expect(dump()).not.toContain(SECRET);
  expect(core.snapshot(id, "account")).toMatchObject({ input: null, metrics: { total_time: 0 } });
  expect(core.submit({ ...submission(id), input: { text: SECRET } })).toMatchObject({ created: false });
  clock.now += defaultRules.retentionMs;
  expect(core.wake().expired).toHaveLength(1);
});

it("keeps of a run that ends later what the platform measured, and nothing of the model's", () => {
  const core = new ShardCore(memorySql(), { rules: defaultRules, now: () => 0, newToken: () => "token" });
  const id = newPredictionId(1);
  core.submit(submission(id));
  core.claim({ session: "session-a", jobs: [{ id, startNow: true }] }, LANES);
  core.cancel(id, "account");
  core.removeData(id, "account");
  const end = { type: "succeeded", output: SECRET, metrics: { predict_time: 1.5, note: SECRET } } as const;
  core.deliver([{ id, token: "token", seq: 0, ...end }], "session-a", LANES);
  expect(core.snapshot(id, "account")).toMatchObject({ output: null, metrics: { predict_time: 1.5, total_time: 0 } });
  expect(JSON.stringify(core.snapshot(id, "account"))).not.toContain(SECRET);
});

it("leaves an unfinished prediction as it is", () => {
  const core = new ShardCore(memorySql(), { rules: defaultRules, now: () => 0, newToken: () => "token" });
  const id = newPredictionId(1);
  core.submit(submission(id));
  expect(core.removeData(id, "account")).toMatchObject({ prediction: { status: "starting" }, traces: null });
  expect(core.store.get(id)?.input).toEqual({ text: "hello" });
});
