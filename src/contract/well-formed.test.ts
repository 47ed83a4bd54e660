import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Json } from "./prediction.ts";
import { loneSurrogateIn, mayHoldLoneSurrogate, parseWellFormed, wellFormed } from "./well-formed.ts";

test.each<[string, Json, string[] | null]>([
  ["whole characters", { "🎉": ["naïve 🎉", 1, null] }, null],
  ["half at the end of a text", { input: { text: "cut \ud83d" } }, ["input", "text"]],
  ["half at its beginning", { list: ["a", "\ude00 cut"] }, ["list", "1"]],
  ["halves the wrong way round", "\ude00\ud83d", []],
  ["half in a key", { a: 1, "b\ud83d": 2 }, ["b\ufffd"]],
])("finds %s", (_what, value, path) => {
  expect(loneSurrogateIn(value)).toEqual(path);
  expect(loneSurrogateIn(wellFormed(value))).toBeNull();
});

test("replaces halves by U+FFFD, and nothing else, however they are written", () => {
  for (const text of [
    String.raw`{"a\uD83D":["x\ude00y","\ud83d\ude00"],"b":"é"}`,
    '{"a\ud83d":["x\ude00y","😀"],"b":"é"}',
  ]) {
    expect(parseWellFormed(text)).toEqual({ "a\ufffd": ["x\ufffdy", "😀"], b: "é" });
  }
  const proto = parseWellFormed(String.raw`{"__proto__":"\ud83d"}`);
  expect(Object.entries(proto as object)).toEqual([["__proto__", "\ufffd"]]);
});

test("misses none, and changes no value that is well-formed", () => {
  const text = fc.string({
    unit: fc.oneof(fc.constantFrom("\ud83d", "\ude00", "\\", "u"), fc.string({ maxLength: 2 })),
  });
  const json = fc.letrec<{ value: Json }>((tie) => ({
    value: fc.oneof(
      text,
      fc.integer(),
      fc.array(tie("value"), { maxLength: 3 }),
      fc.dictionary(text, tie("value"), { maxKeys: 3 }),
    ),
  })).value;
  fc.assert(
    fc.property(json, (value) => {
      const isWhole = loneSurrogateIn(value) === null;
      if (!isWhole) expect(mayHoldLoneSurrogate(JSON.stringify(value))).toBe(true);
      const parsed = parseWellFormed(JSON.stringify(value)) as Json;
      expect(loneSurrogateIn(parsed)).toBeNull();
      if (isWhole) expect(parsed).toEqual(value);
    }),
  );
});
