import { describe, expect, it } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import { newPredictionId } from "../contract/ids.ts";
import { ShardCore } from "./core.ts";
import { defaultRules } from "./rules.ts";
import { replayableOf } from "./replay.ts";
import type { ScreenedEvent, Submission } from "./types.ts";

const LANES = ["default"];
const SESSION = "session-1";
const held = { output: { guard: "sec" }, logs: {} };
const verdict = {
  plugin: "guard",
  phase: "screenOutput",
  action: "change",
  code: null,
  category: "words",
  rule: "w",
} as const;

/** A running prediction of a shard whose memory can be lost. */
function running(more: Partial<Submission> = {}) {
  const sql = memorySql();
  const clock = { now: 1_700_000_000_000 };
  const born = () => new ShardCore(sql, { rules: defaultRules, now: () => clock.now, newToken: () => "token-1" });
  const world = { core: born() };
  const id = newPredictionId(1);
  world.core.submit({ ...submission(id), stream: true, ...more });
  world.core.claim({ session: SESSION, jobs: [{ id, startNow: true }] }, LANES);
  const claim = { id, token: "token-1" };
  let seq = 0;
  const event = (body: object) => ({ ...claim, seq: (seq += 1) - 1, ...body }) as ScreenedEvent;
  const deliver = (...events: ScreenedEvent[]) => world.core.deliver(events, SESSION, LANES).verdicts[0];
  const screened = () => world.core.screening.screened([claim])[0];
  const loseMemory = () => {
    world.core = born();
  };
  const frames = () => world.core.frames(id, null, 0)?.frames.map(({ type, data }) => [type, data]);
  return { world, clock, id, event, deliver, screened, loseMemory, frames };
}

describe("what screening hands on", () => {
  it("is told to whom it asks: as of the last event that the shard has, also when it lost its memory", () => {
    const { clock, event, deliver, screened, loseMemory } = running();
    expect(screened()).toMatchObject({ accountId: "account", nextSeq: 0, held: null });
    const { flushMs } = defaultRules;
    clock.now += flushMs;
    deliver(event({ type: "output", chunk: "a ", held }));
    expect(screened()).toMatchObject({ nextSeq: 1, held });
    deliver(event({ type: "output", chunk: "b", held: null }));
    expect(screened()).toMatchObject({ nextSeq: 2, held: null });
    loseMemory();
    // The first chunk was stored, the second wasn't: what was held goes with it.
    expect(screened()).toMatchObject({ nextSeq: 1, held });
  });

  it("asks again for an event that was not screened and that it lacks, and takes none behind it", () => {
    const { event, deliver, frames } = running();
    const [first, second] = [event({ type: "output", chunk: "a" }), event({ type: "output", chunk: "b" })];
    expect(deliver({ ...first, unscreened: true }, second)).toMatchObject({ verdict: "resend", next: 0 });
    expect(deliver(first)).toMatchObject({ verdict: "ok" });
    expect(deliver({ ...first, unscreened: true }, second)).toMatchObject({ verdict: "ok" });
    expect(frames()).toEqual([
      ["output", "a"],
      ["output", "b"],
    ]);
  });

  it("goes out at the end, as the last chunk and the last of the logs; verdicts stay with the prediction", () => {
    const { world, id, event, deliver, frames } = running();
    deliver(event({ type: "output", chunk: "a ", held, verdicts: [verdict] }));
    deliver(event({ type: "output", chunk: "", held, verdicts: [verdict] }));
    deliver(event({ type: "succeeded", output: ["a ", "***"], tail: { output: "***", logs: "bye" } }));
    expect(frames()?.slice(0, 4)).toEqual([
      ["output", "a "],
      ["output", ""],
      ["log", "bye"],
      ["output", "***"],
    ]);
    expect(world.core.store.get(id)).toMatchObject({ state: "succeeded", output: ["a ", "***"], verdicts: [verdict] });
    expect(world.core.store.get(id)?.held).toBeUndefined();
  });

  it("is forgotten when the model starts again", () => {
    const { event, deliver, screened } = running();
    deliver(event({ type: "output", chunk: "a", held }), event({ type: "starting" }));
    expect(screened()).toMatchObject({ nextSeq: 2, held: null });
  });

  it.each([
    { type: "output", chunk: "a" },
    { type: "log", text: "a" },
    { type: "succeeded", output: "a" },
    { type: "failed", kind: "model", error: { code: "model_error", message: "a" } },
    { type: "failed", kind: "input", error: { code: "model_error", message: "a" } },
  ])("of a guarded prediction is taken only as its version's plugins left it: %j", (body) => {
    const { world, id, event, deliver, screened, loseMemory } = running({ isGuarded: true });
    loseMemory();
    expect(screened()).toMatchObject({ isGuarded: true, nextSeq: 0 });
    expect(deliver(event({ type: "metric", metrics: { steps: 1 } }))).toMatchObject({ verdict: "ok" });
    const said = event(body);
    expect(deliver(said)).toMatchObject({ verdict: "resend", next: 1 });
    expect(JSON.stringify(world.core.store.get(id))).not.toContain('"a"');
    expect(deliver({ ...said, isGuarded: true })).toMatchObject({ verdict: "ok" });
  });

  it("is guarded again when the prediction is replayed", () => {
    const { world, id, event, deliver } = running({ isGuarded: true });
    const error = { code: "model_crashed", message: "gone" };
    deliver({ ...event({ type: "failed", kind: "model", error }), isGuarded: true });
    expect(replayableOf(world.core.store.get(id)).input).toMatchObject({ isGuarded: true });
  });

  it("tells nothing of a claim that is not the latest", () => {
    const { world, id } = running();
    expect(world.core.screening.screened([{ id, token: "another" }])).toEqual([]);
  });
});
