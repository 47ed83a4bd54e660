import { expect, test } from "vitest";
import { createPrediction } from "./prediction.ts";
import { runItems } from "./inputs.ts";
import { Run } from "./run.ts";

function granted(token: string) {
  const model = { owner: "local", name: "m", version: "v" };
  const durations = { startInMs: 1000, endInMs: 1000 };
  const claim = {
    verdict: "granted",
    attempt: 1,
    startNow: true,
    alone: false,
    cost: 1,
    stream: false,
    seq: 0,
  } as const;
  return createPrediction({ id: "p", token, model, ...durations, ...claim }, 0);
}

test("one prediction under two claims, a lost and a new one, is two items", () => {
  const both = [granted("old"), granted("new")];
  const run = new Run(1, both, false);
  const keys = runItems(both, "/scratch").map(({ id }) => id);
  expect(run.size).toBe(2);
  expect(keys.map((key) => run.item(key)?.prediction.ref.token)).toEqual(["old", "new"]);
});
