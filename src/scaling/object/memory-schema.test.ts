/** What a policy's row holds is read by the releases before and after the one that wrote it. */
import { expect, it } from "vitest";
import { SelfTuning } from "../self-tuning.ts";
import { MemorySchema } from "./memory-schema.ts";

const kind = { bootS: 60, slots: 1, billingS: 3600, lossPerHour: 0 };

it("reads back what a policy has learned", () => {
  const memory = new SelfTuning(100, kind).memory();
  expect(memory.knobs.holdS).toBe(20);
  expect(MemorySchema.parse(structuredClone(memory))).toEqual(memory);
});

it("reads a row of a release that ordered for each queue at once", () => {
  const memory = new SelfTuning(100, kind).memory();
  const { holdS: _, ...knobs } = memory.knobs;
  const read = MemorySchema.parse({ ...memory, knobs });
  expect(read.knobs).toEqual({ ...knobs, holdS: 0 });
  new SelfTuning(100, kind).recall(read, 0);
});

it("reads a row of a later release that stores another knob", () => {
  const memory = new SelfTuning(100, kind).memory();
  expect(MemorySchema.parse({ ...memory, knobs: { ...memory.knobs, later: 1 } })).toEqual(memory);
});
