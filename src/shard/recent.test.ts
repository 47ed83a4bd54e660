import { expect, it } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import { newPredictionId } from "../contract/ids.ts";
import { ShardCore } from "./core.ts";
import type { Progress } from "./progress.ts";
import { createRecent, MAX_CHARS, MAX_UNSTORED_CHARS } from "./recent.ts";
import { defaultRules } from "./rules.ts";

function progress(id: string, lastFrame: number, rest: Partial<Progress> = {}): Progress {
  // Only what the memory looks at.
  const row = { id, lastFrame, state: "running" };
  return { row, frames: [], frameChars: 0, chunkChars: 0, logs: "", ...rest } as unknown as Progress;
}

it("keeps hundreds that produce output, beside the last ones of all others", () => {
  const recent = createRecent();
  for (let index = 0; index < 200; index += 1) recent.keep(progress(`streams-${index}`, 1));
  for (let index = 0; index < 200; index += 1) recent.keep(progress(`brief-${index}`, 0));
  const kept = (kind: string) =>
    Array.from({ length: 200 }, (_, index) => recent.get(`${kind}-${index}`)).filter((one) => one !== undefined).length;
  expect(kept("streams")).toBe(200);
  expect(kept("brief")).toBe(64);
  recent.forget("streams-0");
  expect(kept("streams")).toBe(199);
});

it("keeps no more than its share of memory, however much those that produce have said", () => {
  const recent = createRecent();
  const logs = "x".repeat(256 * 1024);
  const kept = () => Array.from({ length: 1000 }, (_, index) => recent.get(`p${index}`)).filter(Boolean);
  for (let index = 0; index < 1000; index += 1) {
    recent.keep(progress(`p${index}`, 1, { logs, chunkChars: 300_000 }));
    expect(recent.get(`p${index}`)).toBeDefined();
  }
  expect(kept().length).toBeLessThanOrEqual(MAX_CHARS / (512 * 1024));
  expect(kept().length).toBeGreaterThan(50);
});

it("says when frames must be stored before their time, and until they are", () => {
  const recent = createRecent();
  const frames = [{ seq: 1, type: "output" as const, data: "x" }];
  const held = Array.from({ length: 9 }, (_, index) => progress(`p${index}`, 1, { frames, frameChars: 1024 * 1024 }));
  for (const one of held.slice(0, 8)) recent.keep(one);
  expect(recent.isHeavy()).toBe(false);
  for (const one of held.slice(8)) recent.keep(one);
  expect(recent.isHeavy()).toBe(true);
  for (const one of held) {
    Object.assign(one, { frames: [], frameChars: 0 });
    recent.weigh(one);
  }
  expect(recent.isHeavy()).toBe(false);
  expect(MAX_UNSTORED_CHARS).toBe(8 * 1024 * 1024);
});

it("has a shard store large output before its time, rather than hold all of it in memory", () => {
  const now = 1_800_000_000_100;
  let tokens = 0;
  const newToken = () => `token-${(tokens += 1)}`;
  const core = new ShardCore(memorySql(), { rules: defaultRules, now: () => now, newToken });
  const jobs = Array.from({ length: 12 }, () => ({ id: newPredictionId(1), startNow: true }));
  for (const { id } of jobs) core.submit(submission(id));
  const claims = core.claim({ session: "session", jobs }, ["default"]);
  const deliver = (seq: number, chunk: string) =>
    claims.map(({ id, ...claim }) => {
      const token = "token" in claim ? claim.token : "";
      const { verdicts } = core.deliver([{ id, token, seq, type: "output", chunk }], "session", ["default"]);
      return verdicts[0]?.next;
    });
  deliver(0, "first");
  // Within the same half second.
  const stored = deliver(1, "x".repeat(1_000_000)).filter((next) => next === 2);
  expect(stored.length).toBeGreaterThanOrEqual(3);
});
