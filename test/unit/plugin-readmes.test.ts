/** What the READMEs of plugins show as settings, the plugins take. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { catalog } from "../../plugins/catalog.ts";

const root = join(import.meta.dirname, "../../plugins");
const JSON_BLOCK = /^```json\n([\s\S]*?)^```$/gm;

const shown = catalog.flatMap((plugin) => {
  const path = join(root, plugin.name, "README.md");
  const text = existsSync(path) ? readFileSync(path, "utf8") : "";
  return [...text.matchAll(JSON_BLOCK)].map(([, block = ""], index) => ({ name: plugin.name, index, block, plugin }));
});

it.each(shown)("$name, example $index", ({ block, plugin }) => {
  expect(plugin.config.safeParse(JSON.parse(block)).error).toBeUndefined();
});

it("finds examples", () => {
  expect(shown.map(({ name }) => name)).toEqual(expect.arrayContaining(["jwt", "queue", "rate-limit"]));
});
