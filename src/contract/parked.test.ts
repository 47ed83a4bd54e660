import { expect, it } from "vitest";
import { describeKvError } from "./parked.ts";

it.each([
  [new Error('WRONGPASS no, command was: ["set","k","a prompt"]'), "WRONGPASS no"],
  [new Error('undefined, command was: ["set"]'), "it answered, but not as a Redis over REST does"],
  [
    new TypeError("fetch failed", { cause: Object.assign(new Error("x"), { code: "ECONNREFUSED" }) }),
    "fetch failed (ECONNREFUSED)",
  ],
  [new DOMException("late", "TimeoutError"), "it did not answer in time"],
  ["odd", "odd"],
])("describes %s without what was sent", (error, expected) => {
  expect(describeKvError(error)).toBe(expected);
});
