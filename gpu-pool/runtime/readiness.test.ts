import { expect, test } from "vitest";
import { Readiness, textOf } from "./readiness.ts";

test("a set-up that failed is refused for a minute with its reason, then tried; success ends that", () => {
  const readiness = new Readiness();
  expect([readiness.refusal(0), readiness.isTrying(0)]).toEqual([null, false]);
  readiness.failed({ message: "no weights", traceback: "Traceback …" }, 1000);
  expect(readiness.refusal(60_999)).toBe("no weights\nTraceback …");
  expect(readiness.isTrying(60_999)).toBe(false);
  expect([readiness.refusal(61_000), readiness.isTrying(61_000)]).toEqual([null, true]);
  readiness.failed({ message: "still none", traceback: "" }, 70_000);
  expect(readiness.refusal(100_000)).toBe("still none");
  readiness.ready(500);
  expect([readiness.refusal(100_000), readiness.isTrying(200_000)]).toEqual([null, false]);
});

test("of a long problem the reason and the end of the traceback are told", () => {
  const text = textOf({ message: "r".repeat(5000), traceback: `${"x".repeat(20_000)}the end` });
  expect(text.length).toBe(8000);
  expect(text.startsWith(`${"r".repeat(2000)}\n`)).toBe(true);
  expect(text.endsWith("the end")).toBe(true);
  expect(textOf({ message: "why", traceback: "short" })).toBe("why\nshort");
});

test("how long set-up took last says when the next is over, and never that it is", () => {
  const readiness = new Readiness();
  expect(readiness.readyInMs(null, 0)).toBeNull();
  readiness.ready(4000);
  expect(readiness.readyInMs(null, 99_000)).toBe(4000);
  expect(readiness.readyInMs(100_000, 101_000)).toBe(3000);
  expect(readiness.readyInMs(100_000, 109_000)).toBe(1);
});
