import { expect, test } from "vitest";
import { sampleInput } from "./sample-input.ts";

test("each format has a sample that a model takes, and of alternatives the first is taken", () => {
  const text = (format: string) => ({ type: "string", format });
  const properties = {
    at: text("date-time"),
    on: text("date"),
    took: { type: "array", items: text("duration") },
    price: { anyOf: [{ type: "number" }, text("decimal")] },
    id: text("uuid"),
    any: {},
  };
  expect(sampleInput({ Input: { type: "object", properties, required: Object.keys(properties) } })).toEqual({
    at: "2025-01-31T12:30:00Z",
    on: "2025-01-31",
    took: ["PT1H30M"],
    price: 1,
    id: "00000000-0000-4000-8000-000000000000",
    any: "hello",
  });
});
