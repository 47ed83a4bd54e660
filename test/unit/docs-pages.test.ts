import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { pages, root, snippetsOf } from "../clients/snippets.ts";

it("knows of every page with snippets where they are run, or why they are not", () => {
  const all = ["README.md", ...readdirSync(join(root, "docs")).map((name) => `docs/${name}`)];
  const withSnippets = all.filter((page) => page.endsWith(".md") && snippetsOf(page).length > 0);
  const known = [...pages.clients, ...pages.engines, ...pages.pool, ...Object.keys(pages.notRun)];
  expect(known.toSorted()).toEqual(withSnippets.toSorted());
});
