import { expect, it } from "vitest";
import { progressOf } from "./prediction.ts";
import type { Prediction } from "./prediction.ts";

const CREATED = "2026-11-29T00:00:00Z";
const waiting = (queue: Prediction["queue"]): string =>
  progressOf({ id: "p", status: "starting", output: null, created_at: CREATED, queue, urls: {} }, 3000);

it("says of what an ETA is made, and what is not in it", () => {
  expect(waiting({ position: 2, eta_ms: 4800 })).toBe("place 2 in the queue · starts in about 5 s · 3 s");
  const estimate = { machine_ms: 30_000, setup_ms: 10_000, turn_ms: 0 };
  expect(waiting({ position: 0, eta_ms: 40_000, estimate })).toBe(
    "next · starts in about 40 s (an estimate: 30 s for a machine, 10 s for the model's set-up) · 3 s",
  );
  expect(waiting({ position: 0, eta_ms: 30_000, estimate: { ...estimate, setup_ms: null } })).toContain(
    "(an estimate: 30 s for a machine, the model's set-up was never seen)",
  );
  expect(waiting({ position: 3, eta_ms: 15_000, estimate: { machine_ms: 0, setup_ms: 9000, turn_ms: 6000 } })).toBe(
    "place 3 in the queue · starts in about 15 s (an estimate: 9 s for the model's set-up, 6 s for those before it) · 3 s",
  );
});
