import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { StateDirError, takeStateDir } from "./state-dir.ts";

const path = mkdtempSync(join(tmpdir(), "edgeplane-state-"));
afterAll(() => rmSync(path, { recursive: true, force: true }));

test("a folder serves one pool at a time, and keeps its name and id for the next", () => {
  const first = takeStateDir(path, undefined);
  expect(() => takeStateDir(path, undefined)).toThrow(StateDirError);
  expect(() => takeStateDir(path, undefined)).toThrow(
    `another pool (process ${process.pid}) uses ${path}: stop it, or choose another --state-dir`,
  );
  first.release();
  const second = takeStateDir(path, undefined);
  expect([second.name, second.id]).toEqual([first.name, first.id]);
  second.release();
});

test("one that can't be written to is named", () => {
  const inFile = join(path, "name", "below");
  expect(() => takeStateDir(inFile, undefined)).toThrow(`the state folder ${inFile} can't be used`);
});
