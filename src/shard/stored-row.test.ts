import { expect, it } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import { newPredictionId, newToken } from "../contract/ids.ts";
import { grantAtOnce, succeed } from "./machine.ts";
import { newRow } from "./new-row.ts";
import type { Row } from "./row.ts";
import { defaultRules } from "./rules.ts";
import { createStore } from "./store.ts";
import { attemptEnds } from "./usage.ts";

const NOW = 1_800_000_000_000;
/** What a row of a table without rowids may have, key included, before SQLite gives it a page of its own. */
const PAGED_BYTES = 1002;

const usual = (): Row =>
  newRow(
    {
      ...submission(newPredictionId(1024, NOW)),
      accountId: crypto.randomUUID(),
      payloadHash: "",
      keyed: false,
      retentionMs: 86_400_000,
      traceparent: `00-${newToken()}-${newToken().slice(16)}-01`,
      webhookEvents: ["start", "output", "logs", "completed"],
      stream: true,
      iterates: true,
      input: { prompt: "x".repeat(200) },
    },
    NOW,
    defaultRules,
  );

/** A row in which nothing is as usual. */
const unusual = (): Row => ({
  ...usual(),
  fixed: {
    ...usual().fixed,
    priority: "high",
    cost: 2,
    weight: 3,
    webhook: "https://example.com/",
    webhookEvents: ["completed", "start"],
    stream: false,
    iterates: false,
    source: "web",
    replayOf: "another",
    deployment: "acme/chat",
    resumesDeterministically: true,
    retentionMs: null,
    traceparent: null,
    keyed: true,
    responseKey: "key",
    pricing: {
      price: { id: "7:*", currency: "USD", perSecond: { cpu: 1 }, perUnit: { n: 2 }, perRequest: 3, minimum: 4 },
      ...{ expectedNano: 5, capNano: 6, basis: "run_time" },
    },
  },
  payloadHash: "hash",
  endAs: "canceled",
  inputBlob: "blob",
  state: "failed",
  startedAt: NOW + 1,
  completedAt: NOW + 2,
  attempt: 3,
  losses: 2,
  hasCrashed: true,
  handBacks: 1,
  token: newToken(),
  session: "session",
  nextSeq: 4,
  chunks: 5,
  skip: 6,
  lastFrame: 7,
  shown: true,
  output: [1, "two"],
  outputBlob: "key",
  error: { code: "model_error", message: "it broke" },
  logs: "a line",
  metrics: { predict_time: 0 },
  handAt: NOW + 3,
  hands: 8,
  checkAt: NOW + 4,
  blobs: true,
  strays: true,
  retired: true,
  fed: true,
  endSeq: 9,
  attemptAt: NOW + 6,
  hasSpoken: true,
  costNano: 10,
  usage: [
    {
      ...{ n: 7, attempt: 2, outcome: "superseded", at: NOW + 7, device: "cpu", queuedMs: 1, runMs: 2, gpuUs: 3 },
      ...{ devices: 2, units: { image_count: 1.5 }, flags: ["capped", "superseded", "correction"] },
      replaces: { outcome: "lost", device: "unknown", queuedMs: 0, runMs: 9, gpuUs: 9000 },
    },
    {
      attempt: 3,
      outcome: "lost",
      at: NOW + 8,
      device: "cpu",
      queuedMs: 0,
      runMs: 1,
      gpuUs: 1000,
      flags: ["estimated"],
    },
  ],
  earlier: [
    { attempt: 2 },
    {
      attempt: 3,
      estimated: { outcome: "lost", device: "cpu", queuedMs: 0, runMs: 1, gpuUs: 1000, from: NOW + 7, token: "token" },
    },
  ],
  wakeAt: NOW + 5,
});

it.each([
  ["as usual", usual],
  ["unusual in all", unusual],
])("reads back a row that is %s", (_name, make) => {
  const store = createStore(memorySql());
  const row = make();
  store.insert(row);
  store.update(row, true);
  expect(store.get(row.id)).toEqual(row);
});

it("keeps a usual row small enough to share its page, as it waits and as it has ended", () => {
  const sql = memorySql();
  const store = createStore(sql);
  const bytes = (): number =>
    sql("SELECT * FROM prediction").reduce(
      (sum, row) => sum + Object.values(row).reduce<number>((all, value) => all + String(value ?? "").length, 0),
      0,
    );
  const row = usual();
  store.insert(row);
  expect(bytes()).toBeLessThan(PAGED_BYTES);
  grantAtOnce(row, { session: `s${newToken()}`, token: newToken() }, NOW, defaultRules);
  const usage = { device: "NVIDIA A100-SXM4-80GB", queuedMs: 2, runMs: 990, gpuUs: 990_123 };
  attemptEnds(row, "succeeded", NOW + 1000, { usage });
  for (const entry of row.usage ?? []) entry.n = NOW * 1000 + 1_001_234;
  succeed(row, { output: "x".repeat(50), outputBlob: null, metrics: {} }, NOW + 1000);
  store.update(row, true);
  expect(bytes()).toBeLessThan(PAGED_BYTES);
});
