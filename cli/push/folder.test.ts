import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { checkAllUnchanged, listFolder } from "./folder.ts";
import type { PushedFile } from "./folder.ts";
import { ignoredBy } from "./ignored.ts";

let dir = "";
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), "edgeplane-folder-"))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function put(path: string, text = "x"): void {
  mkdirSync(join(dir, path, ".."), { recursive: true });
  writeFileSync(join(dir, path), text);
}

const list = (rules = "", written: string[] = []): PushedFile[] =>
  listFolder(dir, ignoredBy(rules, ""), new Set(written));
const paths = (...args: Parameters<typeof list>): string[] => list(...args).map(({ path }) => path);

test("files come in the order of code units, with who may run them", () => {
  for (const path of ["b/c", "b.txt", "a", "Z"]) put(path, path);
  chmodSync(join(dir, "a"), 0o700);
  expect(list().map(({ path, mode, bytes }) => [path, mode, bytes])).toEqual([
    ["Z", 0o644, 1],
    ["a", 0o755, 1],
    ["b.txt", 0o644, 5],
    ["b/c", 0o644, 3],
  ]);
});

test("what the model wrote is left out", () => {
  put("run.py");
  put("weights/w.bin");
  expect(paths("", ["weights/w.bin"])).toEqual(["run.py"]);
});

test("a link inside the folder is the file that it leads to, also one to what is ignored", () => {
  put("blobs/1", "weights");
  mkdirSync(join(dir, "snapshot"));
  symlinkSync("../blobs/1", join(dir, "snapshot/model.bin"));
  symlinkSync("snapshot", join(dir, "latest"));
  expect(list("blobs").map(({ path, bytes }) => [path, bytes])).toEqual([
    ["latest/model.bin", 7],
    ["snapshot/model.bin", 7],
  ]);
});

test("a link that leads out, nowhere or in a circle is named, unless it is ignored", () => {
  put("run.py");
  symlinkSync("/etc/hostname", join(dir, "out"));
  expect(() => list()).toThrow(/^out is a link that leads out of the folder, to \/etc\/hostname$/);
  expect(paths("out")).toEqual(["run.py"]);
  symlinkSync("missing", join(dir, "nowhere"));
  expect(() => list("out")).toThrow("nowhere is a link that leads nowhere");
  mkdirSync(join(dir, "a"));
  symlinkSync("..", join(dir, "a/up"));
  expect(() => list("out\nnowhere")).toThrow("a/up is a link to a folder that it lies in");
});

test("what is no file, and a name that no host could keep, are refused by name", () => {
  execFileSync("mkfifo", [join(dir, "pipe")]);
  expect(() => list()).toThrow("pipe is neither a file nor a folder");
  put("new\nline");
  expect(() => list("pipe")).toThrow('"new\\nline" holds a control character');
});

test("a name that is no UTF-8 is refused by name, unless it is ignored", () => {
  put("run.py");
  writeFileSync(Buffer.concat([Buffer.from(`${dir}/caf`), Buffer.from([0xe9]), Buffer.from(".txt")]), "x");
  expect(() => list()).toThrow('"caf\ufffd.txt" has a name that is no UTF-8');
  expect(paths("*.txt")).toEqual(["run.py"]);
});

test("a file that changed, or went, after it was listed is told by name", () => {
  put("run.py");
  const listed = list();
  checkAllUnchanged(listed);
  put("run.py", "y");
  expect(() => checkAllUnchanged(listed)).toThrow("run.py changed while it was pushed");
  rmSync(join(dir, "run.py"));
  expect(() => checkAllUnchanged(listed)).toThrow("run.py changed while it was pushed");
});

test("too many files are refused before all are listed, and the folder with most of them is named", () => {
  for (let index = 0; index < 12; index += 1) put(`data/${index}`);
  put("run.py");
  expect(() => listFolder(dir, ignoredBy("", ""), new Set(), 10)).toThrow(
    "there are more than 10 files, most of them in data/",
  );
  expect(listFolder(dir, ignoredBy("", ""), new Set(), 13)).toHaveLength(13);
});
