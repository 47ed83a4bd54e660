/** What authors of plugins run: `init`, `test` and what `push` reads. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { readCases, readPlugin } from "./folder.ts";
import { initPlugin } from "./init.ts";
import { testPlugin } from "./test.ts";
import type { CaseResult } from "./test.ts";

const examples = fileURLToPath(new URL("../../../plugins/author/examples/", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "edgeplane-author-"));
afterAll(() => rmSync(scratch, { recursive: true }));

async function resultsOf(folder: string): Promise<CaseResult[]> {
  const results: CaseResult[] = [];
  await testPlugin(await readPlugin(folder), readCases(folder), (one) => results.push(one));
  return results;
}
const problemsOf = (results: readonly CaseResult[]) => results.flatMap(({ problem }) => problem ?? []);

/** A new plugin's folder, with some of its files written anew. */
function folderOf(name: string, files: Record<string, string>): string {
  const folder = join(scratch, name);
  initPlugin(folder);
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text);
  return folder;
}

test.each(readdirSync(examples))("the example %s passes its cases", async (name) => {
  const results = await resultsOf(join(examples, name));
  expect(results.length).toBeGreaterThan(2);
  expect(problemsOf(results)).toEqual([]);
});

test("a new plugin passes its cases at once, and its folder is not written over", async () => {
  const folder = folderOf("fresh", {});
  expect(problemsOf(await resultsOf(folder))).toEqual([]);
  expect(() => initPlugin(folder)).toThrow("is not empty");
  expect(() => initPlugin(join(scratch, "No Name"))).toThrow("can't be a plugin's name");
});

test("a new plugin in a model's folder is one that comes with the model, and passes its cases at once", async () => {
  const folder = join(scratch, "a-model/plugins/clean");
  mkdirSync(join(scratch, "a-model"));
  writeFileSync(join(scratch, "a-model/cog.yaml"), "");
  initPlugin(folder);
  expect((await readPlugin(folder)).manifest.phases).toEqual(["screenInput"]);
  const results = await resultsOf(folder);
  expect(results).toHaveLength(3);
  expect(problemsOf(results)).toEqual([]);
});

test.each([
  ["throws", "throw new Error('at load')", "at load"],
  ["is no plugin", "export default 7", "its default export must be an object"],
  ["returns no hooks", "export default { setup: () => null }", "setup returned no object"],
  ["returns nothing", "export default { setup: () => ({ admit() {} }) }", "returned nothing"],
  ["returns nonsense", "export default { setup: () => ({ admit: () => ({ verdict: 'maybe' }) }) }", "verdict"],
  [
    "refuses with a code that there isn't",
    "export default { setup: () => ({ admit: () => ({ verdict: 'reject', code: 'internal', message: 'no' }) }) }",
    "a code of the error table",
  ],
])("a module that %s fails its cases with the reason", async (what, module, reason) => {
  const problems = problemsOf(await resultsOf(folderOf(what.replaceAll(/[^a-z]+/g, "-"), { "plugin.ts": module })));
  expect(problems[0]).toContain(reason);
});

test.each([
  ["plugin.json", '{"name": "x"', "can't be read"],
  ["plugin.json", '{"name": "x", "api_version": 2, "phases": []}', "api_version"],
  ["plugin.ts", "export default {", "Expected"],
  ["cases.json", '[{"name": "a", "phase": "later", "expect": {}}]', "phase"],
])("a %s that doesn't hold is refused by name", async (file, text, reason) => {
  const folder = folderOf(`bad-${file.length}-${text.length}`, { [file]: text });
  await expect(async () => (await readPlugin(folder), readCases(folder))).rejects.toThrow(reason);
});
