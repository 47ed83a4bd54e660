/** Claims that were judged lost as nobody heard of their pool, which then tells of them. */
import { expect, it } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import type { PoolEvent } from "../contract/event.ts";
import { newPredictionId } from "../contract/ids.ts";
import type { Lease } from "../fleet/types.ts";
import { ShardCore } from "./core.ts";
import { defaultRules } from "./rules.ts";

const SESSION = "session-a";
const LANES = ["default"];
const OVER: Lease = { alive: false, remainingMs: 0 };
const usage = { device: "h200", queuedMs: 0, runMs: 700, gpuUs: 700_000 };

function setUp() {
  const clock = { now: 1_000_000 };
  let tokens = 0;
  const newToken = () => `token-${(tokens += 1)}`;
  const core = new ShardCore(memorySql(), { rules: defaultRules, now: () => clock.now, newToken });
  const id = newPredictionId(1);
  core.submit(submission(id));
  const claim = (): string => {
    const [answer] = core.claim({ session: SESSION, jobs: [{ id, startNow: true }] }, LANES);
    if (answer?.verdict !== "granted") throw new Error(`not granted: ${JSON.stringify(answer)}`);
    return answer.token;
  };
  let seq = 0;
  const send = (token: string, event: Record<string, unknown>): void => {
    const { verdicts } = core.deliver([{ id, token, seq, ...event } as PoolEvent], SESSION, LANES);
    expect(verdicts[0]?.verdict).toBe("ok");
    seq += 1;
  };
  const loseLease = (): void => {
    clock.now += 1000;
    core.judge(SESSION, [id], OVER);
  };
  const seen = () => [core.store.get(id)?.state, core.store.get(id)?.losses];
  return { core, id, claim, send, loseLease, seen };
}

it("counts no loss of a run that goes on, however often its pool is out of reach", () => {
  const { claim, send, loseLease, seen } = setUp();
  const token = claim();
  for (let outages = 0; outages < 4; outages += 1) {
    loseLease();
    expect(seen()).toEqual(["waiting", 1]);
    send(token, { type: "log", text: "still at it" });
    expect(seen()).toEqual(["running", 0]);
  }
  loseLease();
  send(token, { type: "starting" });
  expect(seen()).toEqual(["running", 0]);
});

it.each(["unseen", "no_room", "drain", "setup"])("counts no loss of what its pool hands back (%s)", (reason) => {
  const { claim, send, loseLease, seen } = setUp();
  const token = claim();
  loseLease();
  expect(seen()).toEqual(["waiting", 1]);
  send(token, { type: "released", reason });
  expect(seen()).toEqual(["waiting", 0]);
});

it("counts once what its pool lost or crashed of, too", () => {
  for (const end of [
    { type: "released", reason: "lost" },
    { type: "failed", kind: "crash", error: { code: "model_crashed", message: "it died" } },
  ]) {
    const { claim, send, loseLease, seen } = setUp();
    const token = claim();
    loseLease();
    send(token, end);
    expect(seen()).toEqual(["waiting", 1]);
  }
});

it("counts every loss of a claim that another one followed", () => {
  const { core, id, claim, send, loseLease, seen } = setUp();
  const first = claim();
  loseLease();
  const second = claim();
  core.deliver([{ id, token: first, seq: 0, type: "log", text: "late" }], SESSION, LANES);
  send(second, { type: "log", text: "begun" });
  expect(seen()).toEqual(["running", 1]);
});

it("takes what the pool measured of what it hands back in place of what was estimated", () => {
  const { core, id, claim, send, loseLease } = setUp();
  const token = claim();
  loseLease();
  send(token, { type: "released", reason: "drain", usage });
  const entries = core.store.get(id)?.usage?.map(({ runMs, flags }) => [runMs, flags]);
  expect(entries).toEqual([
    [1000, ["estimated"]],
    [700, ["correction"]],
  ]);
});
