import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createJsonCheck } from "./json-check.ts";

const encoder = new TextEncoder();

/** What comes out of a check that gets `bytes` in pieces of these sizes; null when it refuses them. */
function checked(bytes: Uint8Array, sizes: readonly number[] = [bytes.length]): string | null {
  const check = createJsonCheck();
  const out: Uint8Array[] = [];
  try {
    for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
      const size = Math.max(1, sizes[turn % sizes.length] ?? 1);
      out.push(check.push(bytes.slice(at, at + size)));
      at += size;
    }
    check.end();
  } catch {
    return null;
  }
  return new TextDecoder().decode(Uint8Array.from(out.flatMap((part) => [...part])));
}

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

describe("JSON that comes in pieces", () => {
  it("is what JSON.parse takes, however it is cut and spaced, and comes out in one line", () => {
    fc.assert(
      fc.property(
        fc.jsonValue({ maxDepth: 5 }),
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
        fc.constantFrom("", " ", "\n", "\t", "\r\n  "),
        (value, sizes, space) => {
          const text = space + JSON.stringify(value, null, space) + space;
          const out = checked(encoder.encode(text), sizes);
          expect(out).not.toMatch(/[\r\n]/);
          expect(JSON.parse(out ?? "")).toEqual(JSON.parse(text));
        },
      ),
    );
  });

  it("is refused wherever JSON.parse refuses it", () => {
    const token = fc.constantFrom(
      ...'{ } [ ] , : null true nul 0 01 -1 - 1.5 1. .5 1e5 1e+ 2E-3 + " \\ \\u12 \\ud83d \\x a \n \t \u0001 é'.split(
        " ",
      ),
      '"a"',
      '"\\u00e9"',
      '"',
      '\\"',
    );
    fc.assert(
      fc.property(fc.array(token, { maxLength: 8 }), fc.integer({ min: 1, max: 5 }), (tokens, size) => {
        const text = tokens.join("");
        expect(checked(encoder.encode(text), [size]) !== null).toBe(parses(text));
      }),
      { numRuns: 20_000 },
    );
  });

  it.each([
    ["two values", "1 2"],
    ["nothing", ""],
    ["a way out of its place", 'null, "status": "succeeded"'],
    ["another's brackets", "1}"],
    ["a cut string", '"abc'],
  ])("is not %s", (_what, text) => {
    expect(checked(encoder.encode(text), [1])).toBeNull();
  });

  it.each([
    ["no UTF-8", Uint8Array.of(0x22, 0xff, 0x22)],
    ["a cut character", Uint8Array.of(0x22, 0xc3, 0x22)],
    ["a byte order mark", Uint8Array.of(0xef, 0xbb, 0xbf, 0x31)],
    ["nested without end", encoder.encode("[".repeat(1_000_000))],
    ["a number that is not ended", encoder.encode(`-${"1".repeat(1_000_000)}e`)],
  ])("is not %s", (_what, bytes) => {
    expect(checked(bytes)).toBeNull();
  });
});
