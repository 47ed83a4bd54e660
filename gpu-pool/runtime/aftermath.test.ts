import { expect, test } from "vitest";
import { granted } from "../../test/unit/granted.ts";
import { sortOut } from "./aftermath.ts";
import type { Prediction } from "./prediction.ts";
import { Run } from "./run.ts";

function prediction(id: string, ending: Prediction["ending"] = null): Prediction {
  return { ...granted({ id, token: id }), ending };
}

const ids = (predictions: Prediction[]): string[] => predictions.map(({ ref }) => ref.id);

test("who had begun is a suspect, who had not is innocent, who is done is neither", () => {
  const run = new Run(
    1,
    ["done", "began", "waits"].map((id) => prediction(id)),
    false,
    0,
  );
  for (const id of ["done", "began"]) Object.assign(run.item(id) ?? {}, { started: true });
  Object.assign(run.item("done") ?? {}, { done: true });
  const { suspects, innocent, bystanders, stopped } = sortOut([run], false);
  expect([ids(suspects), ids(innocent), ids(bystanders), ids(stopped)]).toEqual([["began"], ["waits"], [], []]);
});

test("when nobody had begun everybody is a suspect, in every slot", () => {
  const runs = [new Run(1, [prediction("a"), prediction("b")], false, 0), new Run(2, [prediction("c")], false, 0)];
  expect(ids(sortOut(runs, false).suspects)).toEqual(["a", "b", "c"]);
});

test("a process that the pool ended for one leaves the others without blame", () => {
  const run = new Run(1, [prediction("late", "timed_out"), prediction("mate")], false, 0);
  for (const id of ["late", "mate"]) Object.assign(run.item(id) ?? {}, { started: true });
  const { suspects, bystanders, stopped } = sortOut([run], true);
  expect([ids(suspects), ids(bystanders), ids(stopped)]).toEqual([[], ["mate"], ["late"]]);
});
