import { expect, it } from "vitest";
import { submission } from "../../test/unit/submission.ts";
import { AttemptRecordSchema } from "../metering/record.ts";
import { newRow } from "./new-row.ts";
import type { Row } from "./row.ts";
import { defaultRules } from "./rules.ts";
import { usageRecords } from "./usage-records.ts";
import type { UsageEntry } from "./usage.ts";

const price = { id: "p7", currency: "EUR", perSecond: { "*": 1_000_000 }, perUnit: {}, perRequest: 0, minimum: 0 };
const entry: UsageEntry = {
  ...{ n: 1, attempt: 1, outcome: "succeeded", at: 5, device: "cpu", queuedMs: 1, runMs: 2000, gpuUs: 2_000_000 },
};

function ended(overrides: Partial<Row>): Row {
  const priced = { ...submission("p"), pricing: { price, expectedNano: 0 }, credentialId: "key-1" };
  return { ...newRow(priced, 0, defaultRules), state: "succeeded", attempt: 1, startedAt: 1, ...overrides };
}
const recordsOf = (row: Row) =>
  usageRecords(row, new Set([1, 2])).map(({ record }) => AttemptRecordSchema.parse(record));

it("tells what an attempt cost by the price that was fixed, and who asked", () => {
  expect(recordsOf(ended({ usage: [entry] }))).toMatchObject([
    {
      ...{ id: "p.1", account: "account", key: "key-1", model: "local/echo", outcome: "succeeded", cached: false },
      ...{ billed: true, costNano: 2_000_000, currency: "EUR", price: "p7", gpuUs: 2_000_000, flags: [] },
    },
  ]);
});

it("bills no attempt that was lost, stopped or repeated, and no failure of the system", () => {
  for (const outcome of ["lost", "stopped", "bisected", "superseded"] as const)
    expect(recordsOf(ended({ usage: [{ ...entry, outcome }] }))).toMatchObject([
      { outcome, billed: false, costNano: 0 },
    ]);
  const crashed = { state: "failed", error: { code: "model_crashed", message: "" } } as const;
  expect(recordsOf(ended({ ...crashed, usage: [{ ...entry, outcome: "failed" }] }))).toMatchObject([{ billed: false }]);
  const raised = { state: "failed", error: { code: "model_error", message: "" } } as const;
  expect(recordsOf(ended({ ...raised, usage: [{ ...entry, outcome: "failed" }] }))).toMatchObject([{ billed: true }]);
});

it("tells by how much an estimate was wrong, so that both add up to what is known", () => {
  const estimate = { outcome: "canceled", device: "unknown", queuedMs: 0, runMs: 3000, gpuUs: 3_000_000 } as const;
  const told: UsageEntry = { ...entry, n: 2, outcome: "canceled", flags: ["correction"], replaces: estimate };
  const row = ended({ state: "canceled", usage: [{ ...entry, ...estimate, flags: ["estimated"] }, told] });
  const records = recordsOf(row);
  expect(records).toMatchObject([
    { id: "p.1", device: "unknown", gpuUs: 3_000_000, costNano: 3_000_000, flags: ["estimated"] },
    {
      id: "p.1.correction",
      device: "unknown",
      gpuUs: -1_000_000,
      runMs: -1000,
      queuedMs: 1,
      costNano: -1_000_000,
      flags: ["correction"],
    },
  ]);
});

it("tells of a cache's answer and of a guard's question, which cost nothing", () => {
  const answered = ended({ attempt: 0, startedAt: null, usage: [{ ...entry, attempt: 0, device: "none", gpuUs: 0 }] });
  expect(recordsOf(answered)).toMatchObject([{ id: "p.0", cached: true, billed: false, costNano: 0 }]);
  const row = ended({ usage: [entry] });
  row.fixed.question = { plugin: "model-guard", guarded: "other" };
  expect(recordsOf(row)).toMatchObject([{ askedBy: "model-guard", billed: false, costNano: 0 }]);
});
