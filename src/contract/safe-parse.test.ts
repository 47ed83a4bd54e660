import { expect, it } from "vitest";
import * as z from "zod";
import { safeParse } from "./safe-parse.ts";

const schema = z.object({ name: z.string().max(5), list: z.array(z.string()).min(1).optional() });

const lengths: unknown[] = [{ toString: 1 }, { toString: 1, valueOf: 1 }, {}, "9"];

it.each(lengths)("refuses an object whose `length` is %j where a text or a list must be", (length) => {
  expect(safeParse(schema, { name: { length } }).success).toBe(false);
  expect(safeParse(schema, { name: "x", list: { length } }).success).toBe(false);
});

it("hands on what zod says, and what a transformation throws", () => {
  expect(safeParse(schema, { name: "x" })).toEqual({ success: true, data: { name: "x" } });
  const broken = schema.transform(() => {
    throw new RangeError("ours");
  });
  expect(() => safeParse(broken, { name: "x" })).toThrow(RangeError);
});
