import { setImmediate as otherWork } from "node:timers/promises";
import { expect, test } from "vitest";
import { readLayerIndex } from "./layer-index.ts";

const fileAt = (path: string) => ({
  path,
  isProgram: false,
  mtime: 0,
  from: "pack-00000",
  at: 0,
  bytes: 1,
  hasDir: false,
});
const many = Array.from({ length: 10_000 }, (_, index) => fileAt(`lib/package-${index % 50}/module_${index}.py`));

test("an index of many files is read whole, and others have their turns meanwhile", async () => {
  let [turns, isRead] = [0, false];
  const reading = readLayerIndex(JSON.stringify({ files: many, links: [] })).finally(() => (isRead = true));
  while (!isRead) {
    await otherWork();
    turns += 1;
  }
  expect((await reading).files).toEqual(many);
  // Its entries are read, and then their paths are compared.
  expect(turns).toBeGreaterThan(30);
});

test.each([
  ["a path that is there twice", { files: [...many, fileAt("lib/package-0/module_0.py")], links: [] }, "there twice"],
  [
    "a file below a link",
    { files: [...many, fileAt("lib64/module.py")], links: [] },
    "lib64/module.py lies below a link",
  ],
  [
    "a link through another",
    {
      files: many,
      links: [
        { path: "one", target: "lib" },
        { path: "two", target: "one/x" },
      ],
    },
    "the link two leads through another link",
  ],
  ["a file without its place", { files: [{ path: "x" }], links: [] }, "expected"],
  ["no list of links", { files: many }, "links"],
])("%s is refused", async (_what, index, words) => {
  await expect(readLayerIndex(JSON.stringify(index))).rejects.toThrow(words);
});
