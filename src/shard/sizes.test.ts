import { expect, it } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import { newPredictionId } from "../contract/ids.ts";
import { ShardCore } from "./core.ts";
import { defaultRules } from "./rules.ts";
import type { Sql } from "./sql.ts";

/** A database whose rows take 2 MB, as those of a deployed object do. */
function smallRows(): Sql {
  const sql = memorySql();
  const utf8 = new TextEncoder();
  return (query, ...bindings) => {
    const bytes = bindings.reduce<number>((sum, value) => sum + utf8.encode(String(value)).byteLength, 0);
    if (bytes > 2_000_000) throw new Error("string or blob too big: SQLITE_TOOBIG");
    return sql(query, ...bindings);
  };
}

it("ends a prediction whose parts fit into its row and whose whole does not", () => {
  const core = new ShardCore(smallRows(), { rules: defaultRules, now: () => 1_000_000, newToken: () => "token" });
  const id = newPredictionId(1);
  core.submit(submission(id));
  core.claim({ session: "session", jobs: [{ id, startNow: true }] }, ["default"]);
  const claim = { id, token: "token" };
  const reply = core.deliver(
    [
      { ...claim, seq: 0, type: "log", text: "\u65e5".repeat(250_000) },
      { ...claim, seq: 1, type: "succeeded", output: "\u65e5".repeat(495_000) },
    ],
    "session",
    ["default"],
  );
  expect(reply.verdicts).toMatchObject([{ verdict: "ok" }]);
  expect(core.store.get(id)).toMatchObject({ state: "failed", output: null, error: { code: "model_error" } });
});
