/** What was granted, and whose pool vanished before its start was counted. */
import { expect, it } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import { newPredictionId } from "../contract/ids.ts";
import { ShardCore } from "./core.ts";
import { defaultRules } from "./rules.ts";

it.each([
  ["waiting", false],
  ["canceled", true],
])("took nothing, as it ran nothing: it is %s", (state, isCanceled) => {
  const clock = { now: 1_000_000 };
  const core = new ShardCore(memorySql(), { rules: defaultRules, now: () => clock.now, newToken: () => "token" });
  const id = newPredictionId(1);
  core.submit(submission(id));
  core.claim({ session: "session-a", jobs: [{ id, startNow: false }] }, ["default"]);
  expect(core.store.get(id)?.state).toBe("granted");
  clock.now += 5000;
  if (isCanceled) core.cancel(id, "account");
  clock.now += 10_000;
  core.judge("session-a", [id], { alive: false, remainingMs: 0 });
  const row = core.store.get(id);
  expect([row?.state, row?.attempt, row?.attemptAt, row?.usage ?? []]).toEqual([state, 0, undefined, []]);
});
