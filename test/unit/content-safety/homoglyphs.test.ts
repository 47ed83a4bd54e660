import { expect, it } from "vitest";
import { confusables } from "../../../plugins/content-safety/homoglyphs.ts";
import { lookAlikes } from "./packages.ts";

it("has Unicode's look-alikes of letters, as unhomoglyph has them", () => {
  const expected: Record<string, string[]> = {};
  for (const [glyph, skeleton] of lookAlikes) {
    const letter = (skeleton === "rn" ? "m" : skeleton).toLowerCase();
    const bare = glyph.normalize("NFKD").replaceAll(/\p{M}/gu, "");
    if (Array.from(glyph).length !== 1 || !/^[a-z]$/.test(letter) || /^[a-zA-Z0-9|]$/.test(bare)) continue;
    if (/\p{M}|\p{Script=Han}/u.test(glyph)) continue;
    (expected[letter] ??= []).push(glyph);
  }
  const own = Object.entries(confusables).map(([letter, glyphs]) => [letter, Array.from(glyphs)]);
  expect(Object.fromEntries(own)).toEqual(expected);
});
