import { expect, test } from "vitest";
import { ignoredBy } from "./ignored.ts";

function kept(paths: readonly string[], gitStyle: string, dockerStyle: string): string[] {
  const ignored = ignoredBy(gitStyle, dockerStyle);
  return paths.filter((path) => {
    const parts = path.split("/");
    const folders = parts.slice(1).map((_, index) => parts.slice(0, index + 1).join("/"));
    return !folders.some((folder) => ignored.folder(folder)) && !ignored.file(path);
  });
}

test("notes, caches and what only says what is packed stay here, wherever they lie", () => {
  const paths = [
    "cog.yaml",
    "a/.edgeplane/version.json",
    ".edgeplane-notes",
    ".git/HEAD",
    "a/__pycache__/b.pyc",
    "b.pyc",
  ];
  expect(kept([...paths, ".cogignore", ".dockerignore", "node_modules/x", "run.py"], "", "")).toEqual([
    "cog.yaml",
    "run.py",
  ]);
});

test(".cogignore is read as a .gitignore: a name at any depth, letters by their case", () => {
  const paths = ["data/x", "a/data/x", "Data/x", "a/keep.txt", "a/b.txt"];
  expect(kept(paths, "data/\n*.txt\n!keep.txt\n", "")).toEqual(["Data/x", "a/keep.txt"]);
});

test(".dockerignore is read as Docker does: from the top, the last rule wins, also below a folder that is out", () => {
  const paths = ["data/x", "a/data/x", "out/a", "out/keep/b", "deep/a/b.tmp", "b.tmp", "README.md"];
  const rules = "# a comment\ndata\n/out/\n!out/keep\n**/*.tmp\n./README.md\n";
  expect(kept(paths, "", rules)).toEqual(["a/data/x", "out/keep/b"]);
});

test("what makes the folder a model is always pushed", () => {
  expect(kept(["cog.yaml", "edgeplane.yaml", "a.yaml", "a/cog.yaml"], "*.yaml", "*")).toEqual([
    "cog.yaml",
    "edgeplane.yaml",
  ]);
  expect(kept(["cog.yaml", "run.py"], "", "*\n!run.py")).toEqual(["cog.yaml", "run.py"]);
});
