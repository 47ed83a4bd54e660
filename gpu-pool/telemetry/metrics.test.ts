import { expect, test } from "vitest";
import { addGauges, createMetrics } from "./metrics.ts";
import type { ModelGauges } from "./metrics.ts";

const version = (waiting: number, broken: boolean): ModelGauges => ({
  ...{ model: "local/m", state: "ready", waiting, held: waiting, slots: 1, freeSlots: 1, broken },
});

test("gauges add up over the versions of a model, and tell nothing of one that is gone", async () => {
  const { registry } = createMetrics();
  let models = [version(2, true), version(3, false)];
  addGauges(registry, {
    models: () => models,
    channelOpen: () => true,
    undelivered: () => 0,
    spooled: () => 0,
    lags: () => Promise.resolve([]),
    devices: () => [],
    isolation: "none",
    freeDiskBytes: () => 1,
    inputBytes: () => 0,
    uploadBytes: () => 0,
    shortages: () => [],
  });
  await registry.metrics();
  const told = await registry.metrics();
  expect(told).toContain('edgeplane_pool_waiting{model="local/m"} 5\n');
  expect(told).toContain('edgeplane_pool_model_broken{model="local/m"} 1\n');
  models = [];
  expect(await registry.metrics()).not.toContain('edgeplane_pool_waiting{model="local/m"}');
});
