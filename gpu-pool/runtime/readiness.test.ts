import { expect, test } from "vitest";
import { createHandClock } from "../../test/unit/hand-clock.ts";
import { Readiness, textOf } from "./readiness.ts";

test("a set-up that failed is refused with its reason until the pause is over, then tried; success ends that", () => {
  const { clock, pass } = createHandClock();
  let overs = 0;
  const readiness = new Readiness(clock, () => (overs += 1));
  expect([readiness.refusal, readiness.isTrying]).toEqual([null, false]);
  readiness.failed({ message: "no weights", traceback: "Traceback …" });
  expect([readiness.refusal, readiness.isTrying]).toEqual(["no weights\nTraceback …", false]);
  pass(60_000);
  expect([readiness.isTrying, overs]).toEqual([false, 0]);
  pass(50);
  expect([readiness.refusal, readiness.isTrying, overs]).toEqual([null, true, 1]);
  readiness.failed({ message: "still none", traceback: "" });
  expect(readiness.refusal).toBe("still none");
  pass(60_050);
  readiness.ready(500);
  expect([readiness.refusal, readiness.isTrying]).toEqual([null, false]);
});

test("of a long problem the reason and the end of the traceback are told", () => {
  const text = textOf({ message: "r".repeat(5000), traceback: `${"x".repeat(20_000)}the end` });
  expect(text.length).toBe(8000);
  expect(text.startsWith(`${"r".repeat(2000)}\n`)).toBe(true);
  expect(text.endsWith("the end")).toBe(true);
  expect(textOf({ message: "why", traceback: "short" })).toBe("why\nshort");
});

test("how long set-up took last says when the next is over, and never that it is", () => {
  const readiness = new Readiness(createHandClock().clock, () => {});
  expect(readiness.readyInMs(null, 0)).toBeNull();
  readiness.ready(4000);
  expect(readiness.readyInMs(null, 99_000)).toBe(4000);
  expect(readiness.readyInMs(100_000, 101_000)).toBe(3000);
  expect(readiness.readyInMs(100_000, 109_000)).toBe(1);
});
