import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compileLinearPattern } from "./linear-pattern.ts";

const free = () => {};
const finds = (pattern: string, text: string): boolean | undefined => compileLinearPattern(pattern)?.test(text, free);

/** Patterns over few letters, so that short texts often match. */
const { pattern } = fc.letrec<{ pattern: string }>((tie) => ({
  pattern: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom("a", "b", ".", "\\d", "[^a]", "[ab]", "\\w", "^", "$", "\\b", "é", "\\.", ""),
    fc.tuple(tie("pattern"), tie("pattern")).map(([one, other]) => one + other),
    fc.tuple(tie("pattern"), tie("pattern")).map(([one, other]) => `(?:${one}|${other})`),
    fc
      .tuple(tie("pattern"), fc.constantFrom("*", "+", "?", "*?", "{2}", "{0,2}", "{1,}", "{0}"))
      .map(([one, repeat]) => `(${one})${repeat}`),
  ),
}));
const text = fc.string({ unit: fc.constantFrom("a", "b", "1", ".", " ", "é", "\n", "😀"), maxLength: 8 });

describe("a pattern in linear time", () => {
  it("finds what JavaScript's own finds", () => {
    fc.assert(
      fc.property(pattern, text, (source, subject) => {
        expect(finds(source, subject)).toBe(new RegExp(source, "u").test(subject));
      }),
      { numRuns: 5000 },
    );
  });

  it.each([
    ["^[a-z0-9-]{3,20}$", "my-name", true],
    ["^[a-z0-9-]{3,20}$", "My-name", false],
    ["^(?P<year>\\d{4})-(?:0[1-9]|1[0-2])$", "2026-11", true],
    ["^\\p{Lu}", "Éa", true],
    ["a\\-b", "a-b", true],
    ["[^\\]]\\]", "x]", true],
    ["\\u00e9", "é", true],
    ["a\\Ba", "aa", true],
    ["a\\B", "a", false],
  ])("%s in %j: %s", (source, subject, found) => expect(finds(source, subject)).toBe(found));

  it.each(["(?=a)a", "(?<!a)b", "(a)\\1", "(?i)a", "[", "(a", "a)", "*a", "a**", "a{2,1}", "(x{0,99}){0,99}"])(
    "leaves %s to the model",
    (source) => expect(compileLinearPattern(source)).toBeNull(),
  );

  it.each(["^(a+)+$", "(a|a)*$b", "^(\\w*\\s*)*\\d$", "(.*)(.*)(.*)x", "(a?){50}a{50}$b"])(
    "%s takes steps in proportion to the text",
    (source) => {
      const steps = (length: number): number => {
        let sum = 0;
        compileLinearPattern(source)?.test(`${"a".repeat(length)}!`, (more) => (sum += more));
        return sum;
      };
      expect(steps(2000)).toBeLessThan(steps(1000) * 2.1);
      expect(steps(2000)).toBeGreaterThan(0);
    },
  );
});
