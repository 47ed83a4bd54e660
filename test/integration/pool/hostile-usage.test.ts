/** A model whose process lies about when its calls begin and are over: its time counts all the same. */
import { expect, test } from "vitest";
import { modelAt, startPoolInside } from "./pool-inside.ts";

/** It takes the child's own words and turns them: each call is over as it begins, and none is said to begin. */
const HOSTILE = `
import time

import edgeplane_child.sync_slots as slots
from edgeplane_child.prediction import called
from typing import List

from cog import BaseRunner, BatchInput

slots.begun = called


class Runner(BaseRunner):
    def run(self, seconds: float) -> float:
        return self.run_batch([])[0]

    def run_batch(self, inputs: List[BatchInput]) -> List[float]:
        began = time.monotonic()
        while time.monotonic() < began + inputs[0].seconds:
            time.sleep(0.01)
        return [time.monotonic() - began for _ in inputs]
`;

test("what its runs took is what they held its device for", async () => {
  const files = {
    "cog.yaml": 'predict: "predict.py:Runner"\nedgeplane:\n  batchesInFlight: 2\n',
    "predict.py": HOSTILE,
  };
  await using inside = await startPoolInside({ "a/hostile": files });
  const { edge, pool } = inside;
  const model = modelAt(inside, "a/hostile");
  pool.models.add(model);
  const all = [0.2, 0.1, 0.1].map((seconds) => edge.submit(model.manifest, { seconds }));
  await edge.until(() => all.every(({ terminal }) => terminal !== null));
  const entries = all.flatMap(({ row }) => row.usage ?? []);
  const sumUs = entries.reduce((sum, { gpuUs }) => sum + gpuUs, 0);
  const heldUs = all.map(({ terminal }) => (terminal?.type === "succeeded" ? Number(terminal.output) * 1e6 : NaN));
  expect(sumUs).toBeGreaterThanOrEqual(heldUs.reduce((sum, us) => sum + us, 0) - 200 * all.length);
  expect(sumUs).toBe(pool.meter.ledger.totals(Math.floor(performance.now() * 1000)).get("cpu")?.busyUs);
});
