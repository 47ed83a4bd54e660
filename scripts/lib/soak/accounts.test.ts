import { expect, test } from "vitest";
import { accountOf, accounts, GREEDY } from "./accounts.ts";
import { kindOf, kinds } from "./operations.ts";

test("six of ten operations are the greedy account's, and each account has all kinds of operations", () => {
  const numbers = Array.from({ length: 400 }, (_, number) => number);
  expect(numbers.filter((number) => accountOf(number) === GREEDY)).toHaveLength(240);
  for (const account of accounts) {
    const own = new Set(numbers.filter((number) => accountOf(number) === account).map(kindOf));
    expect(own.size).toBe(kinds.length);
  }
});
