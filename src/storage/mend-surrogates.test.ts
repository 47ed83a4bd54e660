import fc from "fast-check";
import { expect, it } from "vitest";
import { parseWellFormed } from "../contract/well-formed.ts";
import { mendSurrogates } from "./mend-surrogates.ts";

async function mended(text: string, size: number): Promise<string> {
  const bytes = new TextEncoder().encode(text);
  async function* pieces() {
    for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size);
  }
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let out = "";
  for await (const piece of mendSurrogates(pieces())) out += decoder.decode(piece, { stream: true });
  return out + decoder.decode();
}

it("mends what `parseWellFormed` mends, and nothing else, however it is cut", async () => {
  const escapes = [
    String.raw`\ud83d`,
    String.raw`\uDE00`,
    String.raw`\u00e9`,
    String.raw`\\`,
    String.raw`\n`,
    "u",
    "d83d",
    "é",
  ];
  const text = fc.array(fc.constantFrom(...escapes), { maxLength: 8 }).map((parts) => parts.join(""));
  await fc.assert(
    fc.asyncProperty(text, text, fc.integer({ min: 1, max: 20 }), async (key, value, size) => {
      const json = `[1,{"${key}":["${value}"]},"\\ud83d"]`;
      const out = await mended(json, size);
      expect(out).toHaveLength(json.length);
      expect(JSON.parse(out)).toEqual(parseWellFormed(json));
    }),
    { numRuns: 2000 },
  );
});

it("goes on in a large piece behind a cut escape", async () => {
  const text = `"${"x".repeat(500_000)}\\ud83d${"y".repeat(999_000)}"`;
  expect(await mended(text, 500_004)).toBe(text.replace("\\ud83d", "\\ufffd"));
});

it("lets what has no escape pass as it came", async () => {
  expect(await mended('"plain"', 3)).toBe('"plain"');
  expect(await mended("", 3)).toBe("");
});
