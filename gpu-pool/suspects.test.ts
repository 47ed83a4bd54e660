import { expect, test } from "vitest";
import { granted } from "../test/unit/granted.ts";
import type { Prediction, Reporter } from "./runtime/prediction.ts";
import { Suspects } from "./suspects.ts";

/** A model that keeps what it is given, or refuses it at once. */
function setUp() {
  const released: string[] = [];
  const accepted: string[] = [];
  let isBroken = false;
  const release = ({ token }: Prediction["ref"]): void => {
    released.push(token);
    suspects.ended(token);
  };
  const suspects = new Suspects({ released: release } as unknown as Reporter, () => {});
  const taker = {
    accept({ ref }: Prediction): void {
      accepted.push(ref.token);
      if (isBroken) release(ref);
    },
  };
  const add = (token: string): void => suspects.add(taker, granted({ id: token, token, alone: true }));
  const breaks = (): void => {
    isBroken = true;
  };
  return { suspects, accepted, released, add, breaks };
}

test("hands one at a time to its model", () => {
  const { suspects, accepted, add } = setUp();
  for (const token of ["a", "b", "c"]) add(token);
  expect(accepted).toEqual(["a"]);
  suspects.ended("a");
  expect(accepted).toEqual(["a", "b"]);
  expect(suspects.waiting).toBe(1);
});

test("a model that refuses thousands one after the other is asked for each in its turn", () => {
  const { suspects, accepted, released, add, breaks } = setUp();
  const tokens = Array.from({ length: 20_000 }, (_, index) => `t${index}`);
  for (const token of tokens) add(token);
  breaks();
  suspects.ended("t0");
  expect(accepted).toEqual(tokens);
  expect(released).toEqual(tokens.slice(1));
  expect(suspects.waiting).toBe(0);
});
