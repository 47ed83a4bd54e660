import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createBackup, restoreBackup } from "./backup.ts";

const DATABASE = "edge/shard/a.sqlite";
let dir: string;
let state: string;
let copy: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "edgeplane-backup-"));
  state = join(dir, "state");
  copy = join(dir, "copy");
  mkdirSync(join(state, "edge/shard"), { recursive: true });
  mkdirSync(join(state, "edge/blobs"));
  writeFileSync(join(state, "secrets.json"), "{}");
  writeFileSync(join(state, "edge/blobs/one"), "blob");
  const database = new DatabaseSync(join(state, DATABASE));
  database.exec("create table t (x); insert into t values (1)");
  database.close();
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const back = (): string => join(dir, "back");

test("what was copied comes back", async () => {
  expect(await createBackup(state, copy, () => {})).toMatchObject({ databases: ["shard/a.sqlite"], blobs: 1 });
  await restoreBackup(copy, back());
  expect(readFileSync(join(back(), "edge/blobs/one"), "utf8")).toBe("blob");
});

test.each([
  [DATABASE, /a\.sqlite is missing/],
  ["secrets.json", /secrets\.json is missing/],
  ["edge/blobs/one", /0 of its 1 blobs/],
])("a copy that lost %s is not put back", async (lost, words) => {
  await createBackup(state, copy, () => {});
  rmSync(join(copy, lost));
  await expect(restoreBackup(copy, back())).rejects.toThrow(words);
});

test("a state folder that can't be listed is not copied as an empty one", async () => {
  rmSync(join(state, "edge"), { recursive: true });
  writeFileSync(join(state, "edge"), "");
  await expect(createBackup(state, copy, () => {})).rejects.toThrow("ENOTDIR");
});
