import { expect, test } from "vitest";
import { attemptOutcomes, intervalPhases, MeterRecordSchema, OVERHEAD_ACCOUNT, recordFlags } from "./record.ts";
import type { AttemptRecord, IntervalRecord, MeterRecord, NumberedRecord } from "./record.ts";

const attempt: AttemptRecord = {
  ...{ v: 2, kind: "attempt", id: "p.1", at: 1, account: "a", deployment: null, device: "cpu", gpuUs: 10, flags: [] },
  ...{ prediction: "p", attempt: 1, key: null, model: "o/n", version: "v", queuedMs: 0, runMs: 1, units: {} },
  ...{ outcome: "succeeded", cached: false, billed: true, costNano: 0, currency: null, price: null },
};
const interval: IntervalRecord = {
  ...{ v: 2, kind: "instance.interval", id: "s.1", at: 1, account: OVERHEAD_ACCOUNT, deployment: null, device: "cpu" },
  ...{ gpuUs: 10, flags: [], instance: "i", model: null, version: null, phase: "unused", fromMs: 0, toMs: 1 },
};

test("what is told of every outcome, flag and phase is a record; a fraction of a microsecond is none", () => {
  const records: MeterRecord[] = [
    ...attemptOutcomes.map((outcome) => ({ ...attempt, outcome })),
    ...recordFlags.map((flag) => ({ ...interval, flags: [flag] })),
    ...intervalPhases.map((phase) => ({ ...interval, phase })),
  ];
  const numbered: NumberedRecord[] = records.map((record, n) => ({ n, record }));
  for (const { record } of numbered) expect(MeterRecordSchema.parse(record)).toEqual(record);
  expect(MeterRecordSchema.safeParse({ ...attempt, gpuUs: 0.5 }).success).toBe(false);
});
