import { expect, it } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { createNotes } from "./notes.ts";

it("forgets what is old some rows at a time, and comes round to all of it", () => {
  const notes = createNotes(memorySql());
  const ids = Array.from({ length: 2500 }, (_, index) => `p${String(index).padStart(4, "0")}`);
  const ageOf = (index: number) => (index % 2 === 0 ? 100 : 900);
  ids.forEach((id, index) => notes.forget(id, ageOf(index), true));
  ids.forEach((id, index) => notes.disable(`account-${index % 7}`, `https://example.com/${id}`, ageOf(index)));
  const left = () => [
    ids.filter((id) => notes.isDropped(id)).length,
    ids.filter((id, index) => notes.isDisabled(`account-${index % 7}`, `https://example.com/${id}`)).length,
  ];
  const after = [1, 2, 3].map(() => {
    notes.pruneForgotten(500);
    notes.pruneDisabled(500);
    return left();
  });
  expect(after.map(([forgotten]) => forgotten)).toEqual([2000, 1500, 1250]);
  expect(after.at(-1)).toEqual([1250, 1250]);
  ids.slice(0, 10).forEach((id) => notes.forget(id, 100, true));
  notes.pruneForgotten(500);
  expect(left()[0]).toBe(1245);
});
