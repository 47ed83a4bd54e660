import fc from "fast-check";
import { expect, test } from "vitest";
import type { Json } from "../../../src/contract/prediction.ts";
import { parseCost } from "./cost-expression.ts";
import { tokenCount } from "./token-count.ts";

const costOf = (text: string, input: { [name: string]: Json } = {}): number =>
  parseCost(text).of({ value: (name) => input[name], bytes: (value) => (typeof value === "string" ? 100 : 0) });

test.each([
  ["width * height", { width: 64, height: 32 }, 2048],
  ["2 + 3 * 4 - 6 / 2", {}, 11],
  ["(2 + 3) * (n - 1)", { n: 5 }, 20],
  ["len(text)", { text: "hello" }, 5],
  ["len(list)", { list: [1, 2, 3] }, 3],
  ["tokens(text)", { text: "Shall I compare thee to a summer's day?" }, 12],
  ["tokens(texts)", { texts: ["one two", "three"] }, 3],
  ["bytes(file)", { file: "x" }, 100],
  ["bytes(files)", { files: ["x", "y"] }, 200],
  ["0.5 * len(text) + missing", { text: "four" }, 2],
  ["len(number) + tokens(number) + text", { number: 7, text: "no number" }, 0],
  ["  seconds  ", { seconds: 12.5 }, 12.5],
  ["1 - 5", {}, 0],
  ["min(len(text), 3) + max(2, 1 + 1 + 1)", { text: "long" }, 6],
])("%s of %j is %s", (text, input, cost) => expect(costOf(text, input)).toBe(cost));

test("what has no number costs more than any batch may", () => {
  expect(costOf("1 / steps", { steps: 0 })).toBe(Infinity);
  expect(costOf("steps / steps", { steps: 0 })).toBe(Infinity);
});

test.each([
  ["", "a number or an input at its end"],
  ["width *", "a number or an input at its end"],
  ["width height", '+, -, * or / at "height"'],
  ["(width", ") at its end"],
  ["len(3)", 'the name of an input at "3)"'],
  ["len text", '+, -, * or / at "text"'],
  ["eval(text)", 'one of len, tokens, bytes, min, max at "eval(text)"'],
  ["constructor(text)", "one of len, tokens, bytes"],
  ["min(1)", ', at ")"'],
  ["max(1, 2, 3)", ') at ", 3)"'],
  ["text.length", 'a number, an input, + - * / or a parenthesis at ".length"'],
  ["1 + process['exit']", "a parenthesis"],
  [`${"(".repeat(21)}1${")".repeat(21)}`, "at most 20 parentheses in one another"],
  ["1".repeat(501), "a cost has at most 500 characters, not 501"],
])("%j is refused with what may stand there", (text, problem) => expect(() => parseCost(text)).toThrow(problem));

test("any text is parsed or refused in words, and any cost is 0 or more", () => {
  const part = fc.constantFrom(
    "a",
    "len(a)",
    "tokens(a)",
    "1",
    "2.5",
    "+",
    "-",
    "*",
    "/",
    "(",
    ")",
    "min(",
    ",",
    " ",
    "é",
  );
  fc.assert(
    fc.property(
      fc.array(part, { maxLength: 12 }),
      fc.oneof(fc.string(), fc.double(), fc.constant(null), fc.array(fc.string())),
      (parts, value) => {
        const text = parts.join("");
        let cost = 0;
        try {
          cost = costOf(text, { a: value });
        } catch (error) {
          expect(String(error)).toMatch(/^Error: the cost .* needs .* at /);
        }
        expect(cost).toBeGreaterThanOrEqual(0);
      },
    ),
    { numRuns: 2000 },
  );
});

test("a text has about as many tokens as a tokenizer of word pieces makes of it", () => {
  expect(tokenCount("")).toBe(0);
  expect(tokenCount("internationalization is long")).toBe(5 + 1 + 1);
  expect(tokenCount("東京タワー")).toBe(5);
  expect(tokenCount("a, b!")).toBe(4);
  const long = "word ".repeat(100_000);
  expect(tokenCount(long)).toBeGreaterThan(99_000);
  expect(tokenCount(long)).toBeLessThan(101_000);
});
