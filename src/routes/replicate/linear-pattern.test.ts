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
const text = fc.string({ unit: fc.constantFrom("a", "b", "1", "٣", ".", " ", "é", "\n", "\r", "😀"), maxLength: 8 });

/** A pattern of those above as JavaScript has to write it to mean what Python means. */
function inJavaScript(source: string): string {
  const word = String.raw`[\p{L}\p{N}_]`;
  const meanings = new Map([
    [".", String.raw`[^\n]`],
    [String.raw`\d`, String.raw`\p{Nd}`],
    [String.raw`\w`, word],
    [String.raw`\b`, `(?:(?<=${word})(?!${word})|(?<!${word})(?=${word}))`],
  ]);
  return source.replaceAll(/\\.|\./g, (atom) => meanings.get(atom) ?? atom);
}

describe("a pattern in linear time", () => {
  it("finds what Python finds", () => {
    fc.assert(
      fc.property(pattern, text, (source, subject) => {
        expect(finds(source, subject)).toBe(new RegExp(inJavaScript(source), "u").test(subject));
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
    ["^\\w+$", "José_Müller1", true],
    ["^[\\w .'-]+$", "Ægir d'Été", true],
    ["^[^\\w]+$", "Ж", false],
    ["^\\d+$", "٣4", true],
    ["^\\W$", "é", false],
    ["^\\S+$", "a\u0085b", false],
    ["\\bé\\b", "a é b", true],
    ["^.$", "\u2028", true],
  ])("%s in %j: %s", (source, subject, found) => expect(finds(source, subject)).toBe(found));

  it("counts what it follows without a character, too", () => {
    let steps = 0;
    compileLinearPattern(`(?:${"|".repeat(500)})x`)?.test("a".repeat(100), (more) => (steps += more));
    expect(steps).toBeGreaterThan(100 * 500);
  });

  it.each([
    "[\\W]",
    "[a\\S]",
    "[\\w-z]",
    "(?=a)a",
    "(?<!a)b",
    "(a)\\1",
    "(?i)a",
    "[",
    "(a",
    "a)",
    "*a",
    "a**",
    "a{2,1}",
    "(x{0,99}){0,99}",
  ])("leaves %s to the model", (source) => expect(compileLinearPattern(source)).toBeNull());

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
