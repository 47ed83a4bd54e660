/** Inputs that end the whole pool that runs them, on two pools beside innocent ones that keep coming. */
import { expect, it } from "vitest";
import { SoloQueue } from "../../gpu-pool/scheduling/solo-queue.ts";
import type { Grant } from "../../src/contract/claim.ts";
import type { PoolEvent } from "../../src/contract/event.ts";
import { newPredictionId } from "../../src/contract/ids.ts";
import { ShardCore } from "../../src/shard/core.ts";
import { isFinished } from "../../src/shard/row.ts";
import { defaultRules } from "../../src/shard/rules.ts";
import { memorySql } from "./memory-sql.ts";
import { submission } from "./submission.ts";

const LANES = ["default"];
const POOLS = 2;
const FRESH_EACH_ROUND = 2;
const ROUNDS_WITH_FRESH = 10;

function createWorld(culpritCount: number) {
  let tokens = 0;
  let lives = 0;
  const now = 1_000_000;
  const newToken = () => `token-${(tokens += 1)}`;
  const core = new ShardCore(memorySql(), { rules: defaultRules, now: () => now, newToken });
  const innocent: string[] = [];
  const culprits: string[] = [];
  const runs = new Map<string, number>();
  const add = (to: string[]): void => {
    const id = newPredictionId(1);
    core.submit(submission(id));
    to.push(id);
  };
  const stateOf = (id: string) => core.store.get(id)?.state ?? "waiting";
  const isOpen = (id: string): boolean => !isFinished(stateOf(id));
  const send = (session: string, { id, token }: Grant, seq: number, event: Record<string, unknown>) =>
    core.deliver([{ id, token, seq, ...event } as PoolEvent], session, LANES);

  /** One life of a pool: it takes `ids`, and ends with them or by one of them. Answers the most that ran at once. */
  function live(ids: readonly string[]): number {
    const session = `session-${(lives += 1)}`;
    const answers = core.claim({ session, jobs: ids.map((id) => ({ id, startNow: true })) }, LANES);
    const grants = answers.filter((answer) => answer.verdict === "granted");
    const solo = new SoloQueue<Grant>();
    const suspects = grants.filter(({ alone }) => alone);
    let running = grants.filter(({ alone }) => !alone);
    const most = running.length;
    let turn = suspects.map((one) => solo.add(one.token, one)).find((one) => one !== null) ?? null;
    while (running.length > 0 || turn !== null) {
      if (turn !== null) {
        send(session, turn, 0, { type: "starting" });
        running.push(turn);
      }
      for (const { id } of running) runs.set(id, (runs.get(id) ?? 0) + 1);
      if (running.some(({ id }) => culprits.includes(id))) {
        core.judge(session, ids, { alive: false, remainingMs: 0 });
        return most;
      }
      for (const grant of running) send(session, grant, grant.alone ? 1 : 0, { type: "succeeded", output: 1 });
      turn = turn === null ? null : solo.ended(turn.token);
      running = [];
    }
    return most;
  }

  for (let index = 0; index < 20; index += 1) add(innocent);
  for (let index = 0; index < culpritCount; index += 1) add(culprits);
  const together: number[] = [];
  for (let round = 0; [...innocent, ...culprits].some(isOpen); round += 1) {
    if (round > 100) throw new Error("it goes on and on");
    for (let fresh = 0; round < ROUNDS_WITH_FRESH && fresh < FRESH_EACH_ROUND; fresh += 1) add(innocent);
    const open = [...innocent, ...culprits].filter(isOpen);
    for (let pool = 0; pool < POOLS; pool += 1) together.push(live(open.filter((_, index) => index % POOLS === pool)));
  }
  return { innocent: innocent.map(stateOf), culprits: culprits.map(stateOf), together, runs, culpritIds: culprits };
}

it.each([1, 2, 3, 5])("%i of them fail after three runs each, and nobody else fails", (culpritCount) => {
  const { innocent, culprits, runs, culpritIds } = createWorld(culpritCount);
  expect(innocent.filter((state) => state !== "succeeded")).toEqual([]);
  expect(culprits).toEqual(culprits.map(() => "failed"));
  expect(culpritIds.map((id) => runs.get(id))).toEqual(culpritIds.map(() => defaultRules.maxLosses));
});

it("runs what was lost with its pool once side by side", () => {
  const { together } = createWorld(1);
  // Ten innocent ones and a culprit are lost with one of the pools, and come again beside fresh ones.
  expect(together.slice(POOLS, 2 * POOLS).reduce((sum, count) => sum + count)).toBeGreaterThanOrEqual(11);
});
