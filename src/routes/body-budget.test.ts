import { expect, it } from "vitest";
import { EdgeplaneError } from "../contract/errors.ts";
import { createBodyBudget } from "./body-budget.ts";

const MIB = 2 ** 20;

function setUp() {
  const clock = { now: 1_000_000 };
  return { clock, budget: createBodyBudget({}, () => clock.now) };
}

/** What came of a resize. */
function tried(run: () => void): string {
  try {
    run();
    return "taken";
  } catch (thrown) {
    return thrown instanceof EdgeplaneError ? `${thrown.status} ${thrown.code}` : String(thrown);
  }
}

it("refuses an account's bodies beyond its share by 429, and takes others'", () => {
  const { budget } = setUp();
  const [first, second, third] = [budget.open("a"), budget.open("a"), budget.open("a")];
  first.resize(16 * MIB);
  second.resize(16 * MIB);
  expect(tried(() => third.resize(1))).toBe("429 too_many_bytes");
  expect(tried(() => budget.open("b").resize(16 * MIB))).toBe("taken");
  first.release();
  expect(tried(() => third.resize(16 * MIB))).toBe("taken");
});

it("refuses by 503 who is above an even share where all is taken, and keeps what it held", () => {
  const { budget } = setUp();
  for (const holder of ["a", "b"]) budget.open(holder).resize(32 * MIB);
  const hold = budget.open("c");
  hold.resize(16 * MIB);
  expect(tried(() => hold.resize(30 * MIB))).toBe("503 unavailable");
  expect(budget.heldBy("c")).toBe(16 * MIB);
  expect(tried(() => budget.open("d").resize(16 * MIB))).toBe("taken");
});

it("lets a single body take more parsed than an account's share", () => {
  const { budget } = setUp();
  const alone = budget.open("a");
  alone.resize(16 * MIB);
  expect(tried(() => alone.resize(60 * MIB))).toBe("taken");
  expect(tried(() => budget.open("a").resize(1))).toBe("429 too_many_bytes");
  alone.release();
  expect(budget.heldBy("a")).toBe(0);
});

it("takes back what calls held that the runtime ended, and nothing of those that still arrive", () => {
  const { budget, clock } = setUp();
  const arriving = budget.open("a");
  arriving.resize(16 * MIB);
  const lost = budget.open("a");
  lost.resize(16 * MIB);
  clock.now += 100_000;
  arriving.touch();
  expect(tried(() => budget.open("a").resize(1))).toBe("429 too_many_bytes");
  clock.now += 60_000;
  expect(tried(() => budget.open("a").resize(16 * MIB))).toBe("taken");
  expect(budget.heldBy("a")).toBe(32 * MIB);
  lost.release();
  expect(budget.heldBy("a")).toBe(32 * MIB);
});
