import { expect, it } from "vitest";
import { createCanaryTally } from "./canary-tally.ts";
import { newRow } from "./new-row.ts";
import type { Row } from "./row.ts";
import { defaultRules } from "./rules.ts";
import { submission } from "../../test/unit/submission.ts";

let count = 0;
function ended(change: Partial<Row>, arm: "base" | "canary" = "canary", id = "c1"): Row {
  count += 1;
  const row = newRow({ ...submission(`p${count}`), canary: { id, arm } }, 0, defaultRules);
  return { ...row, startedAt: 1, completedAt: 2, ...change };
}
const failed = (code: string): Partial<Row> => ({ state: "failed", error: { code, message: "" } });

it("counts what the model ended, and as its fault what is", () => {
  const tally = createCanaryTally();
  for (const code of ["model_error", "model_crashed", "model_unresponsive", "setup_failed", "timed_out"])
    tally.ended(ended(failed(code)));
  tally.ended(ended({ state: "succeeded" }));
  tally.ended(ended({ state: "succeeded" }, "base"));
  tally.ended(ended({ state: "aborted", startedAt: null }));
  expect(tally.take("c1")).toEqual({
    seq: 1,
    counts: {
      base: { ended: 1, failed: 0, unstarted: 0 },
      canary: { ended: 6, failed: 5, unstarted: 1 },
    },
  });
});

it("counts nothing that hosts, the gateway or clients did, and none that no model ran", () => {
  const tally = createCanaryTally();
  for (const code of ["attempts_exhausted", "interrupted", "disk_full", "undeliverable", "invalid_input"])
    tally.ended(ended(failed(code)));
  tally.ended(ended({ state: "canceled" }));
  tally.ended(ended({ state: "succeeded", startedAt: null }));
  tally.ended(newRow(submission("plain"), 0, defaultRules));
  expect([...tally.waiting()]).toEqual([]);
});

it("counts each end once, however often its row is stored", () => {
  const tally = createCanaryTally();
  const row = ended({ state: "succeeded" });
  tally.ended(row);
  tally.ended(row);
  expect(tally.take("c1")?.counts.canary.ended).toBe(1);
});

it("tells the same again until it is settled, and what came meanwhile next", () => {
  const tally = createCanaryTally();
  tally.ended(ended({ state: "succeeded" }));
  const first = tally.take("c1");
  tally.ended(ended(failed("model_error")));
  expect(tally.take("c1")).toEqual(first);
  tally.settle("c1", { hasEnded: false, everyMs: 5000 });
  expect(tally.take("c1")).toMatchObject({ seq: 2, counts: { canary: { ended: 1, failed: 1 } } });
  expect(tally.everyMs("c1")).toBe(5000);
  tally.ended(ended({ state: "succeeded" }));
  tally.settle("c1", { hasEnded: true, everyMs: 1000 });
  expect(tally.waiting()).toEqual([]);
});

it("remembers a thousand canaries, and drops none that waits to be told", () => {
  const tally = createCanaryTally();
  tally.ended(ended({ state: "succeeded" }, "canary", "kept"));
  for (let index = 0; index < 1500; index += 1) {
    const id = `idle-${index}`;
    tally.ended(ended({ state: "succeeded" }, "canary", id));
    tally.take(id);
    tally.settle(id, { hasEnded: false, everyMs: 7000 });
  }
  expect(tally.waiting()).toEqual(["kept"]);
  expect([tally.everyMs("idle-0"), tally.everyMs("idle-1499")]).toEqual([1000, 7000]);
});
