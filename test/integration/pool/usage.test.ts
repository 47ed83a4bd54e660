/**
 * What a pool says that attempts took, held against what its models measured themselves: each notes when it held its
 * device, by the clock that the pool reads.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { UsageEntry } from "../../../src/shard/usage.ts";
import type { Tracked } from "./fake-edge.ts";
import { modelAt, startPoolInside } from "./pool-inside.ts";
import type { PoolInside } from "./pool-inside.ts";

const MODEL = `
import os
import time
from typing import List

from cog import BaseRunner, BatchInput, Input


class Runner(BaseRunner):
    def run(self, do: str = Input(default="")) -> str:
        return self.timed([do])[0]

    def run_batch(self, inputs: List[BatchInput]) -> List[str]:
        return self.timed([item.do for item in inputs])

    def timed(self, acts: List[str]) -> List[str]:
        began = time.monotonic()
        try:
            time.sleep(0.02)
            if "die" in acts:
                self.note(began)
                os._exit(1)
            if "raise" in acts:
                raise ValueError("told to raise")
            while "hold" in acts:
                time.sleep(0.01)
            self.record_metric("image_count", len(acts))
            return acts
        finally:
            self.note(began)

    def note(self, began: float) -> None:
        with open(os.environ["HELD_FILE"], "a") as held:
            held.write("{} {}\\n".format(began, time.monotonic()))
`;
const files = {
  "cog.yaml": "predict: predict.py:Runner\nedgeplane:\n  maxBatchSize: 4\n  maxQueueDelayMs: 200\n",
  "predict.py": MODEL,
};

async function startMeasured(): Promise<PoolInside & { heldUs(): number }> {
  const folder = mkdtempSync(join(tmpdir(), "edgeplane-held-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  process.env["HELD_FILE"] = join(folder, "held");
  const inside = await startPoolInside({ "a/first": files, "a/second": files });
  for (const model of inside.models.values()) inside.pool.models.add(model);
  return Object.assign(inside, { heldUs: () => unionUs(readFileSync(join(folder, "held"), "utf8")) });
}

/** For how long the device was held, by one or by several. */
function unionUs(text: string): number {
  const spans = text.trimEnd().split("\n");
  const held = spans.map((line) => line.split(" ").map((seconds) => Math.round(Number(seconds) * 1e6)));
  let us = 0;
  let until = 0;
  for (const [from = 0, to = 0] of held.toSorted(([a = 0], [b = 0]) => a - b)) {
    us += Math.max(0, to - Math.max(from, until));
    until = Math.max(until, to);
  }
  return us;
}

const usageOf = (all: readonly Tracked[]): UsageEntry[] => all.flatMap(({ row }) => row.usage ?? []);
const sumUs = (entries: readonly UsageEntry[]): number => entries.reduce((sum, { gpuUs }) => sum + gpuUs, 0);

test("what attempts took adds up to the time that the device was busy: in batches that raise, die, and are canceled", async () => {
  await using inside = await startMeasured();
  const { edge, pool, heldUs } = inside;
  const seenMs = performance.now();
  const first = modelAt(inside, "a/first").manifest;
  const second = modelAt(inside, "a/second").manifest;
  const all = ["a", "b", "raise", "c"].map((act) => edge.submit(first, { do: act }));
  all.push(...["d", "die", "e", "f"].map((act) => edge.submit(second, { do: act })));
  await edge.until(() => all.every(({ row }) => row.completedAt !== null));
  const held = edge.submit(first, { do: "hold" });
  all.push(held, ...["g", "h"].map((act) => edge.submit(second, { do: act })));
  await edge.until(() => held.row.state === "running" && all.slice(-2).every(({ row }) => row.completedAt !== null));
  edge.cancel(held);
  await edge.until(() => all.every(({ row }) => row.completedAt !== null && row.attemptAt === undefined));

  const entries = usageOf(all);
  const nowUs = Math.floor(performance.now() * 1000);
  const totals = pool.meter.ledger.totals(nowUs).get("cpu");
  const { busyUs, ...others } = totals ?? { busyUs: 0, residentUs: 0, unusedUs: 0 };
  // The parts of a device's time leave none of it out.
  expect(busyUs + others.residentUs + others.unusedUs).toBeGreaterThanOrEqual(nowUs - seenMs * 1000 - 200);
  expect(sumUs(entries)).toBe(busyUs);
  expect(busyUs).toBeGreaterThanOrEqual(heldUs() - 200 * entries.length);
  const outcomes = new Set(entries.map(({ outcome }) => outcome));
  expect([...outcomes].toSorted()).toEqual(["bisected", "canceled", "failed", "lost", "succeeded"]);
  for (const tracked of all) {
    const attempts = (tracked.row.usage ?? []).map(({ attempt }) => attempt);
    expect(attempts).toEqual(Array.from({ length: tracked.row.attempt }, (_, index) => index + 1));
  }
  expect(entries.flatMap(({ flags = [] }) => flags)).toEqual([]);
  for (const { outcome, device, units } of entries) {
    expect(device).toBe("cpu");
    if (outcome === "succeeded") expect(units?.["image_count"]).toBeGreaterThan(0);
  }

  await pool.drain(0);
  const told = edge.intervals.flatMap(({ intervals }) => intervals);
  const { residentUs = 0, unusedUs = 0 } = pool.meter.ledger.totals(0).get("cpu") ?? {};
  expect(told.reduce((sum, { gpuUs }) => sum + gpuUs, 0)).toBe(residentUs + unusedUs);
  expect(new Set(told.map(({ phase }) => phase))).toEqual(new Set(["unused", "setup", "idle", "drain"]));
});
