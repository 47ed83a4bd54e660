import { expect, test } from "vitest";
import { granted, runOf } from "../../test/unit/granted.ts";
import { sortOut } from "./aftermath.ts";
import type { Prediction } from "./prediction.ts";

function prediction(id: string, ending: Prediction["ending"] = null): Prediction {
  return { ...granted({ id, token: id }), ending };
}

const ids = (predictions: Prediction[]): string[] => predictions.map(({ ref }) => ref.id);

test("who had begun is a suspect, who had not is innocent, who is done is neither", () => {
  const run = runOf(["done", "began", "waits"].map((id) => prediction(id)));
  for (const id of ["done", "began"]) Object.assign(run.item(id) ?? {}, { started: true });
  Object.assign(run.item("done") ?? {}, { done: true });
  const { suspects, innocent, bystanders, stopped } = sortOut([run], false);
  expect([ids(suspects), ids(innocent), ids(bystanders), ids(stopped)]).toEqual([["began"], ["waits"], [], []]);
});

test("when nobody had begun everybody is a suspect, in every slot", () => {
  const runs = [runOf([prediction("a"), prediction("b")]), runOf([prediction("c")], 2)];
  expect(ids(sortOut(runs, false).suspects)).toEqual(["a", "b", "c"]);
});

test("a process that the pool ended for one leaves the others without blame", () => {
  const run = runOf([prediction("late", "timed_out"), prediction("mate")]);
  for (const id of ["late", "mate"]) Object.assign(run.item(id) ?? {}, { started: true });
  const { suspects, bystanders, stopped } = sortOut([run], true);
  expect([ids(suspects), ids(bystanders), ids(stopped)]).toEqual([[], ["mate"], ["late"]]);
});
