/** What every built-in plugin comes with. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { catalog } from "../../plugins/catalog.ts";

const plugins = fileURLToPath(new URL("../../plugins", import.meta.url));

it.each(catalog.map(({ name }) => name))("%s has a folder, and a test that calls the conformance suite", (name) => {
  const folder = join(plugins, name);
  const tests = readdirSync(folder).filter((file) => file.endsWith(".test.ts"));
  const texts = tests.map((file) => readFileSync(join(folder, file), "utf8"));
  expect(texts.some((text) => text.includes("describePlugin("))).toBe(true);
});

it.each(catalog.map(({ name }) => name))("%s has a README", (name) => {
  expect(existsSync(join(plugins, name, "README.md"))).toBe(true);
});
