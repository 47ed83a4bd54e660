/** A real corpus of texts of mixed lengths: the paragraphs, entries and rows of this repository's pages. */
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { repository } from "./pool-alone.ts";

/** Their texts in an order that is the same each time and as good as any: by a hash of each. */
export function corpus(): string[] {
  const folder = join(repository, "docs");
  const pages = readdirSync(folder).filter((name) => name.endsWith(".md"));
  const texts = pages.flatMap((name) => textsOf(readFileSync(join(folder, name), "utf8")));
  return texts.toSorted((one, other) => hash(one) - hash(other));
}

/** What stands in a page between blank lines, without code; of a table and of a list each row and entry. */
function textsOf(page: string): string[] {
  const prose = page.replaceAll(/^ *```.*?^ *```$/gms, "");
  const parts = prose.split(/\n\s*\n|\n(?=\s*(?:[-|]|\d+\. ))/);
  const texts = parts.map((part) =>
    part
      .replaceAll(/[|`*#>]+/g, " ")
      .replaceAll(/\s+/g, " ")
      .trim(),
  );
  return texts.filter((text) => /\w/.test(text));
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    value ^= text.charCodeAt(index);
    value = Math.imul(value, 0x01000193) >>> 0;
  }
  return value;
}
